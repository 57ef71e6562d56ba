// The browser's side of the snapshot (twin of snapshot.Tape): applies patches in order, asks for everything when one is missing.
// Used by worker.js (one connection for all tabs) and by feed.js where the browser has no shared workers.

const LIST_MOST = 120;
const SILENCE_MS = 5000;

class Tape {
  constructor() { this.tree = null; this.number = -1; this.offset = 0; this.heard = 0; }

  full(message) {
    this.tree = message.tree;
    this.number = message.number;
    this.tick(message);
  }

  tick(message) {
    this.offset = message.now - Date.now();
    this.heard = Date.now();
  }

  // false: a patch before this one is missing.
  patch(message) {
    if (this.tree === null) return false;
    if (message.number <= this.number) return true;
    if (message.number !== this.number + 1) return false;
    this.number = message.number;
    for (const [section, keys] of Object.entries(message.changed)) {
      const known = (this.tree[section] ??= {});
      for (const [key, fields] of Object.entries(keys)) {
        if (fields === null) { delete known[key]; continue; }
        if ("!" in fields) known[key] = {};
        const entry = (known[key] ??= {});
        for (const [name, value] of Object.entries(fields)) {
          if (name === "!") continue;
          if (name.startsWith("+")) entry[name.slice(1)] = [...(entry[name.slice(1)] ?? []), ...value].slice(-LIST_MOST);
          else entry[name] = value;
        }
      }
    }
    return true;
  }
}

// Listens to the server and calls tell(kind, message) with "full", "patch" and "tick", in order. When the stream of events is silent
// (a proxy that holds it back, a server that restarts) it asks for the whole snapshot every 2 s instead. Returns a function that ends it.
function listen(base, tell) {
  const tape = new Tape();
  let source = null;
  let asking = false;

  async function ask() {
    if (asking) return;
    asking = true;
    try {
      const answer = await fetch(base + "live/snapshot", { cache: "no-store" });
      if (answer.ok) {
        const message = await answer.json();
        tape.full(message);
        tell("full", message);
      }
    } catch { /* the server is away: the data grow old, and the board says so */ } finally { asking = false; }
  }

  function open() {
    source?.close();
    source = new EventSource(base + "live/events");
    source.addEventListener("full", (event) => { const m = JSON.parse(event.data); tape.full(m); tell("full", m); });
    source.addEventListener("patch", (event) => {
      const m = JSON.parse(event.data);
      if (tape.patch(m)) { tape.heard = Date.now(); tell("patch", m); } else ask();
    });
    source.addEventListener("tick", (event) => { const m = JSON.parse(event.data); tape.tick(m); tell("tick", m); });
  }

  open();
  const watch = setInterval(() => {
    if (source.readyState === EventSource.CLOSED) open();
    if (Date.now() - tape.heard > SILENCE_MS) ask();
  }, 2000);
  return () => { clearInterval(watch); source.close(); };
}
