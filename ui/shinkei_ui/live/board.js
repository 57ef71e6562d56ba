// The andon board: tiles, figures, alarm cards and the state timeline, patched in place. Text goes in by textContent only.

export default function (component) {
  const { data, parentElement, setTriggerValue } = component;
  const root = parentElement.querySelector(".board");
  if (root.__board) { root.__board.told(data); return root.__board.end; }

  const words = data.words, looks = data.looks, lang = data.lang;
  const feed = shinkeiFeed(new URL(data.base, location.href).href, data.version);
  const number = new Intl.NumberFormat(lang, { maximumSignificantDigits: 4 });
  const whole = new Intl.NumberFormat(lang, { maximumFractionDigits: 0 });
  const percent = new Intl.NumberFormat(lang, { style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 });
  const roomy = new Intl.NumberFormat(lang, { style: "percent", maximumFractionDigits: 0 });
  const at = (selector) => root.querySelector(selector);
  const kpis = at(".kpis"), tiles = at(".tiles"), cards = at(".cards"), quiet = at(".quiet"), clear = at(".clear"), bars = at(".bars"), legend = at(".legend");
  const known = new Map(), shown = new Map(), sent = new Map();
  const timeline = shinkeiTimeline(at(".timeline"), data, feed);
  let raised = data.raised ?? null;

  const title = (texts) => texts?.[lang] ?? texts?.en ?? "";
  const stateWord = (state) => words["state." + state] ?? state ?? words["state.none"];
  const reasonWord = (reason) => (reason ? title(data.reasons[reason]) || reason : "");
  const open = (page, query) => (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    setTriggerValue("go", { page, query });
  };

  at(".states").textContent = fill(words.timeline_title, { h: data.hours });
  at(".open").textContent = words.alarms_title;
  clear.textContent = words.clear;
  at(".lost").textContent = words.losses_title;
  at(".nothing").textContent = words.nothing;
  for (const level of Object.keys(looks)) {
    const item = make("span", "key", legend);
    const mark = make("i", "mark " + level, item);
    mark.textContent = looks[level].shape;
    make("span", "", item).textContent = words["level." + level];
  }

  // ---- figures ----------------------------------------------------------------------------------------------------------
  function kpi(name) {
    let entry = known.get("kpi " + name);
    if (!entry) {
      const box = make("div", "kpi", kpis);
      make("div", "label", box).textContent = words["kpi." + name];
      entry = { box, value: make("div", "value", box), note: make("div", "note", box) };
      known.set("kpi " + name, entry);
    }
    return entry;
  }

  function drawFigures(tree) {
    const machines = Object.values(tree.machines), figures = tree.kpi, alarms = Object.values(tree.alarms);
    const oee = figures.oee ?? {}, parts = figures.parts ?? {}, stops = figures.stops ?? {};
    const show = (name, value, note, level) => {
      const entry = kpi(name);
      setText(entry.value, value);
      setText(entry.note, note ?? "");
      entry.box.dataset.level = level ?? "";
    };
    show("oee", oee.oee == null ? "–" : percent.format(oee.oee), oee.oee == null ? words["kpi.no_plan"]
      : `${words["kpi.a"]} ${roomy.format(oee.availability)} · ${words["kpi.e"]} ${roomy.format(oee.effectiveness)} · ${words["kpi.q"]} ${roomy.format(oee.quality)}`);
    show("good", parts.good == null ? "–" : whole.format(parts.good), parts.target ? fill(words["kpi.of_plan"], { n: whole.format(parts.target) }) : words["kpi.this_shift"]);
    show("rejects", parts.bad == null ? "–" : whole.format(parts.bad), parts.fpy == null ? "" : fill(words["kpi.fpy"], { p: percent.format(parts.fpy) }));
    const running = machines.filter((m) => m.level === "run").length;
    show("running", `${running} / ${machines.length}`, words["kpi.machines"]);
    show("stops", stops.minutes == null ? "–" : fill(words["kpi.min"], { n: whole.format(stops.minutes) }), words["kpi.this_shift"]);
    const strange = machines.filter((m) => m.anomaly).length;
    show("anomalies", whole.format(strange), strange ? machines.filter((m) => m.anomaly).map((m) => m.name).join(" ") : words["kpi.none"], strange ? "act" : "");
    const unacked = alarms.filter((a) => unseen(a)).length;
    show("alarms", whole.format(unacked), words["kpi.unacked"], unacked ? (alarms.some((a) => unseen(a) && a.priority === "P1") ? "fault" : "act") : "");
  }

  // ---- tiles ------------------------------------------------------------------------------------------------------------
  function tile(name, machine) {
    const link = make("a", "tile", tiles);
    link.href = data.pages.machine + "?machine=" + encodeURIComponent(name) + "&lang=" + lang;
    link.onclick = open("machine", { machine: name });
    const head = make("div", "head", link);
    make("b", "id", head).textContent = name;
    make("span", "name", head).textContent = title(machine.title);
    const state = make("div", "state", link);
    const entry = {
      link, mark: make("i", "mark", state), word: make("span", "word", state), since: make("span", "since", state),
      why: make("div", "why", link), odd: null, values: new Map(), units: [], canvas: null, points: null,
    };
    entry.curve = make("div", "curve", link);
    if (machine.shown.length) {
      entry.canvas = make("canvas", "spark", entry.curve);
      entry.canvas.setAttribute("aria-hidden", "true");
    }
    const list = make("div", "values", link);
    for (const [index, signal] of machine.shown.entries()) {
      const row = index === 0 ? make("div", "lead", entry.curve) : make("div", "row", list);
      make("span", "what", row).textContent = title(signal.title) || signal.name;
      const value = make("span", "figure", row);
      value.__write = numbers(signal, lang);
      entry.units.push(make("span", "unit", row));
      entry.values.set(signal.name, value);
    }
    const told = make("div", "told", link);
    entry.odd = make("span", "odd", told);
    entry.old = make("span", "old", told);
    entry.part = make("div", "part", link);
    return entry;
  }

  function drawTile(name, machine) {
    let entry = shown.get(name);
    if (!entry) { entry = tile(name, machine); shown.set(name, entry); }
    const now = feed.now();
    const age = machine.fresh === null ? null : (now - machine.fresh) / 1000;
    const stale = age !== null && age > STALE_S;
    entry.link.dataset.level = machine.level;
    entry.link.dataset.stale = stale;
    setText(entry.mark, looks[machine.level].shape);
    setText(entry.word, stateWord(machine.state));
    setText(entry.since, machine.since === null ? "" : lasting((feed.plantNow() - machine.since) / 1000, words));
    setText(entry.why, [machine.state === "EXECUTE" ? "" : reasonWord(machine.reason), machine.product ?? ""].filter(Boolean).join(" · ") || "\u00a0");
    setText(entry.old, stale ? fill(words.age, { age: lasting(age, words) }) : machine.provisional ? words.provisional : "");
    setText(entry.odd, machine.anomaly ? `◆ ${fill(words.odd, { signal: signalTitle(machine, machine.anomaly.signal) })}` : "");
    const part = machine.part;
    setText(entry.part, part ? `${part.result === "fail" || part.result === "scrap" ? "✕" : part.result === "rework" ? "↻" : "✓"} ${part.unit}${part.more > 0 ? ` +${part.more}` : ""}` : "\u00a0");
    entry.part.dataset.result = part?.result ?? "";
    machine.shown.forEach((signal, index) => setText(entry.units[index], signal.unit ?? ""));
    for (const [signal, node] of entry.values) {
      const found = machine["value." + signal];
      setText(node, !found ? "–" : found[1] === "bad" ? words.bad : typeof found[0] === "number" ? node.__write(found[0]) : String(found[0] ?? "–"));
      node.dataset.quality = found?.[1] ?? "";
      node.dataset.text = typeof found?.[0] === "string";
    }
    if (entry.canvas && entry.points !== machine.spark) { entry.points = machine.spark; drawSpark(entry.canvas, machine); }
  }

  const signalTitle = (machine, name) => title(machine.shown.find((s) => s.name === name)?.title) || name || "";

  function drawSpark(canvas, machine) {
    const box = canvas.getBoundingClientRect(), ratio = window.devicePixelRatio || 1;
    if (!box.width) return;
    canvas.width = box.width * ratio; canvas.height = box.height * ratio;
    const pen = canvas.getContext("2d"), points = machine.spark.filter((p) => typeof p[1] === "number");
    if (points.length < 2) return;
    pen.scale(ratio, ratio);
    let low = Math.min(...points.map((p) => p[1])), high = Math.max(...points.map((p) => p[1]));
    if (high - low < 1e-9) { low -= 1; high += 1; }
    const from = points[points.length - 1][0] - 240000;
    const x = (t) => Math.max(0, (t - from) / 240000) * (box.width - 4) + 1, y = (v) => box.height - 3 - ((v - low) / (high - low)) * (box.height - 6);
    pen.strokeStyle = getComputedStyle(canvas).color;
    pen.lineWidth = 1.6; pen.lineJoin = "round";
    pen.beginPath();
    let last = null;
    for (const [t, v] of points) {
      if (last === null || t - last > 15000) pen.moveTo(x(t), y(v)); else pen.lineTo(x(t), y(v));  // a gap stays a gap
      last = t;
    }
    pen.stroke();
    pen.fillStyle = pen.strokeStyle;
    pen.beginPath(); pen.arc(x(last), y(points[points.length - 1][1]), 2.6, 0, 7); pen.fill();
  }

  // ---- what the time was lost to ------------------------------------------------------------------------------------------
  function drawLosses(tree) {
    const top = tree.kpi.stops?.top ?? [], most = Math.max(...top.map((loss) => loss[3]), 0.1);
    at(".losses").hidden = top.length === 0;
    while (bars.children.length > top.length) bars.lastChild.remove();
    top.forEach(([machine, state, reason, minutes, times], index) => {
      let bar = bars.children[index];
      if (!bar) {
        bar = make("div", "bar", bars);
        for (const part of ["what", "much", "fill"]) make("span", part, bar);
      }
      setText(bar.children[0], `${machine}  ${reasonWord(reason) || stateWord(state)}`);
      setText(bar.children[1], fill(words.loss, { n: number.format(minutes), times }));
      bar.children[2].style.width = `${Math.max(1, 100 * minutes / most)}%`;
    });
  }

  // ---- alarms -----------------------------------------------------------------------------------------------------------
  const unseen = (alarm) => alarm.state.endsWith("UNACK") || alarm.state === "LATCHED_RTN";

  function card(id) {
    const box = make("article", "card", cards);
    const head = make("div", "head", box);
    const entry = { box, priority: make("b", "priority", head), machine: make("b", "machine", head), since: make("span", "since", head) };
    entry.text = make("a", "text", box);
    entry.text.href = data.pages.inbox + "?alarm=" + encodeURIComponent(id) + "&lang=" + lang;
    entry.text.onclick = open("inbox", { alarm: id });
    const foot = make("div", "foot", box);
    entry.note = make("span", "note", foot);
    entry.button = make("button", "ack", foot);
    entry.button.type = "button";
    entry.button.textContent = words.ack;
    entry.button.onclick = () => {
      const alarm = feed.tape.tree.alarms[id];
      if (!alarm) return;
      sent.set(id, { at: Date.now(), occurrence: alarm.occurrence });
      setTriggerValue("ack", { alarm: id, occurrence: alarm.occurrence, machine: alarm.machine });
      draw();
    };
    return entry;
  }

  function drawAlarms(tree) {
    const rank = (a) => (a[1].state.startsWith("ACTIVE") ? 0 : 20) + (unseen(a[1]) ? 0 : 10) + (a[1].priority === "P1" ? 0 : a[1].priority === "P2" ? 1 : 2);
    const all = Object.entries(tree.alarms).sort((a, b) => rank(a) - rank(b) || b[1].since - a[1].since);
    const there = new Set();
    let place = 0, put_by = [];
    for (const [id, alarm] of all) {
      if (!unseen(alarm)) { put_by.push(alarm); continue; }
      there.add(id);
      let entry = known.get("alarm " + id);
      if (!entry) { entry = card(id); known.set("alarm " + id, entry); }
      if (cards.children[place] !== entry.box) cards.insertBefore(entry.box, cards.children[place] ?? null);
      place += 1;
      const waiting = sent.get(id), pending = waiting && waiting.occurrence === alarm.occurrence && Date.now() - waiting.at < 10000;
      entry.box.dataset.priority = alarm.priority;
      entry.box.dataset.active = alarm.state.startsWith("ACTIVE");
      setText(entry.priority, alarm.priority);
      setText(entry.machine, alarm.machine);
      setText(entry.since, lasting((feed.plantNow() - alarm.since) / 1000, words));
      setText(entry.text, title(alarm.text) || alarm.condition);
      setText(entry.note, [alarm.state.startsWith("ACTIVE") ? words.active : words.gone, alarm.occurrence > 1 ? `×${alarm.occurrence}` : ""].filter(Boolean).join(" "));
      setText(entry.button, pending ? words.acking : words.ack);
      entry.button.disabled = Boolean(pending);
      entry.button.setAttribute("aria-label", `${words.ack}: ${alarm.machine} ${title(alarm.text)}`);
    }
    for (const [key, entry] of known) {
      if (key.startsWith("alarm ") && !there.has(key.slice(6))) { entry.box.remove(); known.delete(key); }
    }
    clear.hidden = place > 0;
    setText(quiet, put_by.length ? fill(words.acked, { n: put_by.length }) + " " + put_by.slice(0, 6).map((a) => a.machine).join(" ") : "");
    setText(at(".count"), place ? String(place) : "");
  }

  // ---- all together -----------------------------------------------------------------------------------------------------
  let waiting = false;
  function draw() {
    waiting = false;
    const tree = feed.tape.tree;
    if (tree === null) return;
    at(".loading").hidden = true;
    at(".all").hidden = false;
    for (const [name, machine] of Object.entries(tree.machines)) machine.name = name;
    for (const [name, machine] of Object.entries(tree.machines).sort((a, b) => a[1].at - b[1].at)) drawTile(name, machine);
    for (const [name, entry] of shown) if (!(name in tree.machines)) { entry.link.remove(); shown.delete(name); }
    drawFigures(tree);
    drawAlarms(tree);
    drawLosses(tree);
    timeline.follow(tree.machines);
    const age = feed.age();
    root.dataset.stale = age !== null && age > STALE_S;
    const away = tree.feed.database?.up === false ? words.no_database : tree.feed.log?.up === false ? words.no_log : raised ?? "";
    setText(at(".trouble"), away);
    at(".trouble").hidden = !away;
    at(".nothing").hidden = Object.keys(tree.machines).length > 0;
  }
  const soon = () => { if (!waiting) { waiting = true; requestAnimationFrame(draw); } };
  const unwatch = feed.watch(soon);
  const timer = setInterval(soon, 1000);
  const resized = new ResizeObserver(() => {
    for (const entry of shown.values()) entry.points = null;
    timeline.draw();
    soon();
  });
  resized.observe(root);

  root.__board = {
    told(more) { raised = more.raised ?? null; if (raised) sent.clear(); soon(); },
    end() {
      unwatch(); clearInterval(timer); resized.disconnect(); timeline.end(); delete root.__board;
      for (const node of [kpis, tiles, cards, bars, legend, at(".timeline")]) node.replaceChildren();
    },
  };
  return root.__board.end;
}
