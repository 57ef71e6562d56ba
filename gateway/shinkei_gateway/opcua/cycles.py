"""All handshakes of one machine: node values in, operations (and gaps of cycles nobody saw) out. Pure."""

from __future__ import annotations

from collections import deque
from typing import Any

from shinkei_gateway.cycle import Meaning, PartRole, Side, Unreadable, counter_of, operation_of, read_operation
from shinkei_gateway.handshake import IN, OPERATION, OUT, Cycle, Handshake
from shinkei_gateway.intake import Draft, Reading, gap
from shinkei_gateway.opcua.answer import Due, answer_of
from shinkei_gateway.opcua.plan import Item
from shinkei_gateway.opcua.sample import Sample
from shinkei_gateway.opcua.settings import HandshakeNodes, OpcuaSource, PartNode
from shinkei_gateway.quarantine import refused

KEPT_RAW = 16
"""Values of a node that outlive a restart: those that came in one message with, or before, the edge they belong to."""

SAMPLES_LATE = 2
"""A server that samples stamps what was written together up to one interval apart; it may be late itself by as much."""


class Cycles:
    """``name``: the source; ``cause`` of cycles that pass unseen is set by `disconnected`."""

    def __init__(self, name: str, source: OpcuaSource, items: list[Item]) -> None:
        self._name, self._machine = name, source.machine
        self._items = [item for item in items if item.role == "cycle"]
        self._raw: dict[tuple[str, str], deque[tuple[int, Any, int]]] = {}
        self._cause = "gateway_down"
        self._handshakes = {
            h.name: Handshake(h.name, list(h.nodes()), int(h.timeout * 1e9), counter_of, int(h.debounce * 1e9))
            for h in source.handshakes
        }
        self._meanings = {h.name: meaning_of(h) for h in source.handshakes}
        self._settings = {h.name: h for h in source.handshakes}
        self._due: list[Due] = []
        self._overflowed: deque[tuple[str, int]] = deque(maxlen=KEPT_RAW)
        self.paced(source.sampling, source.publish)

    def paced(self, sampling: float, publishing: float) -> None:
        """How often (s) the server looks at the nodes and sends, as revised: it may stamp a value by so much later than the edge it came with."""
        for name, handshake in self._handshakes.items():
            own = self._settings[name].lag
            handshake.is_sure = own is not None
            handshake.lag = int((SAMPLES_LATE * max(0.0, sampling) if own is None else own) * 1e9)
            handshake.settle = 2 * handshake.lag + int(publishing * 1e9) if handshake.lag else 0

    def disconnected(self, cause: str) -> None:
        """What comes next is from a new connection."""
        self._cause = cause
        for handshake in self._handshakes.values():
            handshake.disconnected()

    def trigger(self, item: Item, value: Any, time: int, now: int, since: int | None = None) -> None:
        """A trigger node; ``since`` when something before it may be missing, or None."""
        self._handshakes[item.group].trigger(time, value, now, since)

    def overflowed(self, item: Item, time: int) -> None:
        """The queue of a trigger that counts was full: edges that are missing before the one at ``time`` were thrown away."""
        self._overflowed.append((item.group, time))

    def counts_on(self, item: Item, value: Any) -> bool:
        """Whether a trigger counts: then it tells itself how many edges were missed."""
        last = self._handshakes[item.group].last
        return isinstance(value, int) and not isinstance(value, bool) and (last is None or value >= (last.counter or 0))

    def value(self, item: Item, sample: Sample, time: int) -> None:
        """A node whose value belongs to an edge."""
        self._raw.setdefault((item.group, item.name), deque(maxlen=KEPT_RAW)).append(
            (time, sample.value, sample.status)
        )
        self._handshakes[item.group].value(item.name, time, _content(item, sample), sample.status)

    def answer(self, item: Item, sample: Sample, time: int) -> None:
        """The same, read on purpose."""
        self._handshakes[item.group].answer(item.name, time, _content(item, sample), sample.status)

    def to_read(self, now: int) -> list[Item]:
        """Nodes to read once for edges that miss values."""
        wanted = {(name, role) for name, handshake in self._handshakes.items() for role in handshake.to_read(now)}
        return [item for item in self._items if (item.group, item.name) in wanted] if wanted else []

    def finish(self, received: int, now: int) -> tuple[list[Reading | Draft], list[Draft]]:
        """Operations (or what is quarantined in their place) and gaps, of edges that are complete or out of time."""
        items: list[Reading | Draft] = []
        gaps: list[Draft] = []
        for name, handshake in self._handshakes.items():
            if handshake.is_waiting:
                for cycle in handshake.finished(now):
                    gaps += self._gaps(name, cycle, received)
                    item = self._item(name, cycle, received)
                    items.append(item)
                    if (due := answer_of(self._settings[name], self._machine, cycle, item, received)) is not None:
                        self._due.append(due)
        return items, gaps

    def take_due(self) -> list[Due]:
        """The answers that operations given by `finish` since the last call are due."""
        due, self._due = self._due, []
        return due

    def newest(self, name: str) -> int:
        """Source time of the newest edge seen of a handshake, ns; 0: none."""
        last = self._handshakes[name].last if name in self._handshakes else None
        return last.time if last is not None else 0

    def wait_again(self, now: int) -> None:
        """The machine was away, and what it said meanwhile comes now."""
        for handshake in self._handshakes.values():
            handshake.wait_again(now)

    def bounced(self) -> dict[str, int]:
        """Edges so far that were taken as one with the edge before, by handshake."""
        return {name: handshake.bounced for name, handshake in self._handshakes.items() if handshake.bounced}

    def state(self) -> dict[str, Any]:
        """For the resume state: with the values that may belong to an edge not seen yet, as a server says them only once."""
        states = {name: handshake.state() for name, handshake in self._handshakes.items()}
        for (name, role), values in self._raw.items():
            pending, last = states[name]["pending"], states[name]["last"]
            since = (pending[0][2] if pending else last[0] if last else None) or -1
            handshake = self._handshakes[name]
            kept = [list(value) for value in values if value[0] > since and handshake.is_open(role, value[0])]
            if kept:
                states[name].setdefault("values", {})[role] = kept
        return states

    def restore(self, state: dict[str, Any], now: int) -> None:
        """Go on from `state`."""
        for name, handshake in self._handshakes.items():
            if name in state:
                handshake.restore(state[name], now)
        for item in self._items:
            for time, value, status in state.get(item.group, {}).get("values", {}).get(item.name, []):
                self.value(item, Sample(value, status, time, None), time)

    def _item(self, name: str, cycle: Cycle, received: int) -> Draft:
        taken = cycle.values.get(OPERATION)
        if taken is not None and isinstance(taken.value, Unreadable):
            raw = taken.value.text.encode()
            counter = "" if cycle.edge.counter is None else f" {cycle.edge.counter}"
            where, time = f"handshake {name}{counter}", cycle.edge.time
            return refused(self._name, self._machine, where, raw, taken.value.error, received, time=time)
        return operation_of(self._machine, name, cycle, received, self._meanings[name])

    def _gaps(self, name: str, cycle: Cycle, received: int) -> list[Draft]:
        edge = cycle.edge.time
        since = cycle.previous.time if cycle.previous else edge
        if cycle.since is not None:
            since = min(max(since, cycle.since), edge)
        found = []
        cause = "overflow" if (name, edge) in self._overflowed else self._cause
        if cycle.missed:
            detail = f"handshake {name}: {cycle.missed} cycles passed unseen"
            if cycle.set_back_from is not None:
                detail += ", and the machine's clock was set back meanwhile"
            span = (since, max(edge, cycle.set_back_from or edge))
            found.append(self._gap(cause, span, received, cycle.missed, [f"@{name}"], detail))
        if cycle.unknown:
            detail = f"handshake {name}: {', '.join(cycle.unknown)} did not come with the edge"
            if cycle.torn:
                detail += f" ({', '.join(cycle.torn)}: of this cycle or another, see the handshake's lag)"
            channels = [f"@{name}.{role.lstrip('@')}" for role in cycle.unknown]
            found.append(self._gap("handshake_incomplete", (since, edge), received, len(channels), channels, detail))
        return found

    def _gap(
        self, cause: str, span: tuple[int, int], received: int, count: int, channels: list[str], detail: str
    ) -> Draft:
        more: dict[str, Any] = {"at_least": count, "channels": channels, "detail": detail, "kind": "production"}
        return gap(self._machine, cause, *span, received, **more)


def meaning_of(handshake: HandshakeNodes) -> Meaning:
    """What the nodes of a handshake say beside the operation's text."""
    sides: tuple[tuple[Side, str, list[PartNode]], ...] = (
        ("inputs", IN, handshake.inputs),
        ("outputs", OUT, handshake.outputs),
    )
    parts = [
        PartRole(f"{prefix}{at}", side, part.type, part.item, part.quantity, part.unit)
        for side, prefix, nodes in sides
        for at, part in enumerate(nodes)
    ]
    return Meaning(handshake.kind, parts, dict(handshake.results))


def _content(item: Item, sample: Sample) -> Any:
    return read_operation(sample.value) if item.name == OPERATION else sample.value
