// Clock and age of the data, on every page. Text only.

export default function (component) {
  const { data, parentElement } = component;
  const root = parentElement.querySelector(".pulse");
  const feed = shinkeiFeed(new URL(data.base, location.href).href, data.version);
  const clock = root.querySelector(".clock"), badge = root.querySelector(".age"), word = root.querySelector(".word");
  const time = new Intl.DateTimeFormat(data.lang, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
  document.documentElement.lang = data.lang;

  function draw() {
    const age = feed.age();
    setText(clock, (feed.speed() === 1 ? "" : `×${feed.speed()} `) + time.format(feed.plantNow()));
    const stale = age === null ? "none" : age > STALE_S ? "stale" : "live";
    if (badge.dataset.is !== stale) badge.dataset.is = stale;
    setText(word, age === null ? data.words.waiting : fill(data.words.age, { age: age < 120 ? `${Math.floor(age)} ${data.words.s}` : lasting(age, data.words) }));
  }

  const unwatch = feed.watch(draw);
  const timer = setInterval(draw, 1000);
  draw();
  return () => { unwatch(); clearInterval(timer); };
}
