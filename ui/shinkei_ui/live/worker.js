// One connection to the server for all tabs of a browser: HTTP/1.1 allows six, and a tab must not cost one. A SharedWorker.

const ports = new Set();
const state = new Tape();

listen(new URL(".", self.location.href).href.replace(/live\/$/, ""), (kind, message) => {
  if (kind === "full") state.full(message);
  else if (kind === "patch") state.patch(message);
  else state.tick(message);
  for (const port of ports) port.postMessage([kind, message]);
});

self.onconnect = (event) => {
  const port = event.ports[0];
  ports.add(port);
  port.onmessage = (said) => { if (said.data === "bye") ports.delete(port); };
  if (state.tree !== null) {
    port.postMessage(["full", { tree: state.tree, number: state.number, now: Date.now() + state.offset }]);
  }
};
