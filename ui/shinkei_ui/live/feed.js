// One feed for everything on a page, whatever component asks first.

function shinkeiFeed(base, version) {
  if (window.__shinkei_feed) return window.__shinkei_feed;
  const tape = new Tape();
  const watchers = new Set();

  function tell(kind, message) {
    if (kind === "full") tape.full(message);
    else if (kind === "tick") tape.tick(message);
    else if (!tape.patch(message)) return;
    for (const watcher of [...watchers]) watcher(kind, tape);
  }

  try {
    const worker = new SharedWorker(base + "live/worker.js?" + version, { name: "shinkei " + base });
    worker.port.onmessage = (event) => tell(event.data[0], event.data[1]);
    worker.port.start();
    window.addEventListener("pagehide", () => worker.port.postMessage("bye"));
    worker.onerror = () => { if (tape.tree === null) listen(base, tell); };
  } catch { listen(base, tell); }

  const feed = {
    tape,
    now: () => Date.now() + tape.offset,
    // The plant's own now: of a simulated line that runs faster than the wall, how far it has come.
    plantNow: () => tape.tree?.feed.plant?.now ?? Date.now() + tape.offset,
    speed: () => tape.tree?.feed.plant?.speed ?? 1,
    watch(watcher) {
      watchers.add(watcher);
      if (tape.tree !== null) watcher("full", tape);
      return () => watchers.delete(watcher);
    },
    // Age of the newest data of any machine, in seconds; null when there were none yet.
    age() {
      if (tape.tree === null) return null;
      let newest = null;
      for (const machine of Object.values(tape.tree.machines)) if (machine.fresh !== null && machine.fresh > newest) newest = machine.fresh;
      return newest === null ? null : Math.max(0, (feed.now() - newest) / 1000);
    },
  };
  window.__shinkei_feed = feed;
  return feed;
}

const STALE_S = 5;

function fill(text, values) { return text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole); }

function setText(node, text) { if (node.textContent !== text) node.textContent = text; }

function make(tag, className, parent) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  parent?.appendChild(node);
  return node;
}

// 42 s, 3 min 05 s, 2 h 07 min: how long, in the language's own units.
function lasting(seconds, words) {
  const s = Math.max(0, Math.floor(seconds));
  if (s < 60) return fill(words.seconds, { s });
  if (s < 3600) return fill(words.minutes, { m: Math.floor(s / 60), s: String(s % 60).padStart(2, "0") });
  if (s < 172800) return fill(words.hours, { h: Math.floor(s / 3600), m: String(Math.floor(s / 60) % 60).padStart(2, "0") });
  return fill(words.days, { d: Math.floor(s / 86400) });
}

// Writes a signal's values, all with the same digits, so that a figure keeps its width: four of the largest value its range allows
// (0 to 150 bar: 87.0), where no range is known four of the value itself, three below 1.
function numbers(signal, lang) {
  const most = Math.max(Math.abs(signal.low ?? 0), Math.abs(signal.high ?? 0));
  if (most > 0) {
    const digits = Math.min(6, Math.max(0, 3 - Math.floor(Math.log10(most))));
    const even = new Intl.NumberFormat(lang, { minimumFractionDigits: digits, maximumFractionDigits: digits, signDisplay: "negative" });
    return (value) => even.format(value);
  }
  const large = new Intl.NumberFormat(lang, { maximumSignificantDigits: 4 }), small = new Intl.NumberFormat(lang, { maximumSignificantDigits: 3 });
  return (value) => (Math.abs(value) < 1 ? small : large).format(value);
}
