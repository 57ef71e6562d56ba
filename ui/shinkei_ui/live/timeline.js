// Machine states over the last hours on one canvas: one row a machine, one shared time axis. Running is half height, what needs a
// hand is full height, so that a grey print can still be read; the loudest state wins a pixel.

function shinkeiTimeline(box, data, feed) {
  const canvas = make("canvas", "", box), tip = make("div", "tip", box), note = make("div", "note", box);
  const words = data.words, looks = data.looks, lang = data.lang;
  const loud = ["run", "rest", "wait", "unknown", "act", "fault"];
  const height = { run: 0.5, rest: 0.18, wait: 0.5, unknown: 1, act: 1, fault: 1 };
  const clock = new Intl.DateTimeFormat(lang, { hour: "2-digit", minute: "2-digit", hour12: false });
  const exact = new Intl.DateTimeFormat(lang, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
  const LEFT = 62, RIGHT = 66, TOP = 4, AXIS = 22;
  const rowHeightOf = (width) => (width < 640 ? 20 : window.innerHeight >= 980 ? 29 : 24);
  let rows = null, hours = data.hours, order = [], ended = false, drawn = 0;
  note.textContent = words.loading;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", words.timeline_alt);

  async function load() {
    try {
      const answer = await fetch(new URL(data.base, location.href).href + "live/timeline", { cache: "no-store" });
      if (!answer.ok) throw new Error(String(answer.status));
      const found = await answer.json();
      if (found.machines === null) throw new Error("away");
      rows = found.machines;
      hours = found.hours;
      note.textContent = Object.values(rows).some((r) => r.length) ? "" : words.timeline_empty;
    } catch { if (rows === null) note.textContent = words.timeline_away; }
    draw();
  }

  // What the tiles know is newer than what was loaded.
  function follow(machines) {
    order = Object.keys(machines).sort((a, b) => machines[a].at - machines[b].at);
    if (rows === null) return;
    let changed = false;
    for (const [name, machine] of Object.entries(machines)) {
      const row = (rows[name] ??= []);
      const last = row[row.length - 1];
      if (machine.since === null || (last && machine.since <= last[0])) continue;
      if (last) last[1] = machine.since;
      row.push([machine.since, null, machine.level, machine.state, machine.reason]);
      changed = true;
    }
    if (changed || Date.now() - drawn > 5000) draw();
  }

  function draw() {
    drawn = Date.now();
    const width = box.clientWidth, ratio = window.devicePixelRatio || 1;
    if (ended || !width) return;
    const rowHeight = rowHeightOf(width), tall = TOP + order.length * rowHeight + AXIS;
    canvas.style.height = tall + "px";
    canvas.width = width * ratio; canvas.height = tall * ratio;
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    const to = feed.now(), from = to - hours * 3600000, wide = width - LEFT - RIGHT;
    const x = (t) => LEFT + (Math.min(Math.max(t, from), to) - from) / (to - from) * wide;
    const ink = getComputedStyle(box).color, font = getComputedStyle(box).fontFamily;
    axis(pen, x, from, to, tall, ink, font);
    pen.textBaseline = "middle";
    order.forEach((name, index) => {
      const y = TOP + index * rowHeight, middle = y + rowHeight / 2, full = rowHeight - 7;
      pen.fillStyle = ink;
      pen.font = `600 12px ${font}`; pen.textAlign = "left";
      pen.fillText(name, 0, middle);
      pen.fillStyle = "#E9ECEF"; pen.fillRect(LEFT, middle - full / 2, wide, full);
      const row = (rows?.[name] ?? []).filter((s) => (s[1] ?? to) > from);
      for (const level of loud) {
        const part = full * height[level];
        pen.fillStyle = level === "unknown" ? hatch(pen, looks.unknown.edge) : level === "fault" ? looks.fault.tint : level === "act" ? "#D97700" : level === "wait" ? "#8A98A3" : looks[level].edge;
        for (const [begin, end, is] of row) {
          if (is !== level) continue;
          const left = x(begin);
          pen.fillRect(left, middle + full / 2 - part, Math.max(1, x(end ?? to) - left), part);
        }
      }
      const ran = row.filter((s) => s[2] === "run").reduce((sum, s) => sum + Math.min(s[1] ?? to, to) - Math.max(s[0], from), 0);
      const known = row.reduce((sum, s) => sum + Math.min(s[1] ?? to, to) - Math.max(s[0], from), 0);
      pen.fillStyle = ink; pen.font = `12px ${font}`; pen.textAlign = "right";
      pen.fillText(known > 0 ? `${Math.round(100 * ran / known)} %` : "–", width - 2, middle);
    });
  }

  function axis(pen, x, from, to, tall, ink, font) {
    const step = hours > 12 ? 7200000 : 3600000, zone = new Date(to).getTimezoneOffset() * 60000;
    pen.strokeStyle = "#C7CED4"; pen.lineWidth = 1; pen.fillStyle = ink; pen.font = `11px ${font}`;
    pen.textAlign = "center"; pen.textBaseline = "bottom";
    for (let t = Math.ceil((from - zone) / step) * step + zone; t < to; t += step) {
      pen.beginPath(); pen.moveTo(x(t) + 0.5, TOP); pen.lineTo(x(t) + 0.5, tall - AXIS + 2); pen.stroke();
      pen.fillText(clock.format(t), x(t), tall - 3);
    }
    pen.textAlign = "right"; pen.fillText(words.ran, box.clientWidth - 2, tall - 3);
  }

  function hatch(pen, colour) {
    const cell = document.createElement("canvas"); cell.width = cell.height = 6;
    const ink = cell.getContext("2d");
    ink.fillStyle = "#FFFFFF"; ink.fillRect(0, 0, 6, 6);
    ink.strokeStyle = colour; ink.lineWidth = 1.4;
    ink.beginPath(); ink.moveTo(-1, 7); ink.lineTo(7, -1); ink.stroke();
    return pen.createPattern(cell, "repeat");
  }

  canvas.onmousemove = (event) => {
    const rowHeight = rowHeightOf(box.clientWidth), name = order[Math.floor((event.offsetY - TOP) / rowHeight)];
    const to = feed.now(), from = to - hours * 3600000, wide = box.clientWidth - LEFT - RIGHT;
    const t = from + (event.offsetX - LEFT) / wide * (to - from);
    const slack = 2 / wide * (to - from);
    const here = name && t >= from && t <= to ? (rows?.[name] ?? []).filter((s) => s[0] - slack <= t && (s[1] ?? to) + slack > t) : [];
    const found = here.sort((a, b) => loud.indexOf(b[2]) - loud.indexOf(a[2]))[0];
    tip.hidden = !found;
    if (!found) return;
    const reason = found[4] ? data.reasons[found[4]]?.[lang] ?? found[4] : "";
    tip.textContent = `${name}  ${looks[found[2]].shape} ${words["state." + found[3]] ?? found[3]}${reason ? " · " + reason : ""}  ${exact.format(found[0])} – ${found[1] ? exact.format(found[1]) : words.now}  (${lasting(((found[1] ?? to) - found[0]) / 1000, words)})`;
    tip.style.left = Math.min(event.offsetX + 12, box.clientWidth - tip.offsetWidth - 4) + "px";
    tip.style.top = event.offsetY + 14 + "px";
  };
  canvas.onmouseleave = () => { tip.hidden = true; };
  tip.hidden = true;
  load();
  const again = setInterval(load, 60000);
  return { follow, draw, end() { ended = true; clearInterval(again); } };
}
