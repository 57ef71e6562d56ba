"""What an MQTT source must know over disconnections and restarts: last times, last states, messages that may come again. Pure."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import Any, Literal

from shinkei_events.identity import Kind
from shinkei_events.model.machine import MachineStateChanged
from shinkei_events.model.quarantine import Quarantined
from shinkei_gateway.intake import Draft, Reading, gap
from shinkei_gateway.machine_json import no_data_draft
from shinkei_gateway.mqtt.connection import Message
from shinkei_gateway.source_time import LATEST_NS, Newest, believed

_KEY = 8
"""Bytes that stand for a message in the window: its packet identifier and the CRC-32 of its topic and payload."""
Verdict = Literal["new", "same", "unsure"]
_MOST_TOPICS = 100_000
_TOLD = ("state", "reason", "product", "recipe", "tool", "code", "by")


class Memory:
    """``window``: how many messages back a redelivery is recognised (it must cover what a broker has in flight).

    ``now``: ns UTC, what ``resume`` says of later times is not believed (None: it is).
    """

    def __init__(self, window: int, resume: dict[str, Any] | None = None, now: int | None = None) -> None:
        known = resume or {}
        self._most = max(1, window) * _KEY
        raw = known.get("window", b"")
        self._window: bytes = raw[len(raw) % _KEY :][-self._most :]
        self._new: list[int] = []
        self._unreleased: dict[str, int] = dict(known.get("unreleased", {}))
        self._topics: dict[str, int] = {}
        self._twins: dict[int, None] = {}
        self._under_way: frozenset[int] = frozenset()
        self._taken: set[int] = set()
        self.doubts = False
        """Whether the last message judged has the bytes of one that was under way: `may_know` says more."""
        self._suspected = 0
        self._knows_retained = False
        self._last: dict[str, int] = dict(known.get("last", {}))
        if now is not None:
            self._last = {machine: believed(time, now) for machine, time in self._last.items()}
        self._untimed: set[str] = set(known.get("untimed", ()))
        self._states: dict[str, dict[str, Any]] = dict(known.get("states", {}))
        self._away: set[str] = set(known.get("away", ()))
        self.had_session: bool = known.get("session", False)
        self.filters: list[str] = list(known.get("filters", []))
        self.qos: int | None = known.get("qos")
        self.broker: dict[str, Any] = dict(known.get("broker", {}))
        """`BrokerWatch.state_known`."""

    @property
    def machines(self) -> dict[str, int]:
        """Machines heard of, with the newest source time of each (see `Newest`)."""
        return self._last

    def begins(self, *, is_present: bool) -> None:
        """A connection, with our session or without. With it, what was under way comes first, once more; a broker may forget to say so
        (Aedes 1.2 sends it without DUP, rumqttd 0.20 under a new packet identifier as well). Without it packet identifiers begin anew, and what is retained comes again.
        """
        self._under_way = frozenset(self._keys()) if is_present else frozenset()
        self._taken = {key & 0xFFFF_FFFF for key in self._under_way}
        self._suspected = len(self._under_way)
        self._twins.clear()
        self._knows_retained = bool(self.filters)
        if not is_present:
            self._unreleased.clear()

    def judge(self, message: Message, *, is_doubled: bool = False) -> Verdict:
        """Remember a message and say what it is: ``same`` is proven, ``unsure`` has the bytes of one of the last.

        A broker that delivers again says so (DUP, 3.3.1.1) and keeps the packet identifier (4.4): with the same bytes that is the
        same message, of QoS 2 for certain until its PUBREL. A payload without a time of its own may also be said twice by the
        machine: the caller knows that, and takes ``same`` of QoS 1 for unsure then. ``is_doubled``: more than one subscription matches
        the topic, and brokers send a copy for each (3.3.4 of MQTT 5 allows it; mosquitto 2.0 does with MQTT 5, Aedes always).
        """
        if not message.qos and not message.is_again and not is_doubled:
            return "new"
        topic = self._topics.get(message.topic)
        if topic is None:
            if len(self._topics) > _MOST_TOPICS:
                self._topics.clear()
            topic = self._topics[message.topic] = zlib.crc32(message.topic.encode())
        digest = zlib.crc32(message.payload, topic)
        key = message.mid << 32 | digest
        verdict: Verdict = "new"
        is_suspect = self._suspected > 0 and message.qos > 0
        self._suspected -= is_suspect
        self.doubts = is_suspect and digest in self._taken
        if is_suspect:  # Aedes 1.2: from the session's queue and live, when it was published just then
            self._taken.add(digest)
        if message.is_again:
            verdict = self._again(message, key, digest)
        elif message.qos == 2 and self._unreleased.get(str(message.mid)) == digest:
            verdict = "same"  # that packet identifier is still taken, whatever DUP says (4.3.3)
        elif is_suspect and key in self._under_way:
            verdict = "unsure"
        if is_doubled and verdict == "new":
            verdict = "unsure" if digest in self._twins else "new"
            self._twins[digest] = None
            if len(self._twins) * _KEY > self._most:
                del self._twins[next(iter(self._twins))]
        if verdict != "same":
            self._new.append(key)
            if message.qos == 2:
                self._unreleased[str(message.mid)] = digest
        return verdict

    def may_know(self, message: Message, items: list[Reading | Draft]) -> bool:
        """Whether a message that is new by its bytes or packet identifier may have been taken before: its time says so.

        One that `doubts` has the same time of its own; one that the broker gives again, or had retained, is none newer than all known, and the window forgot it.
        """
        if self.doubts and all(item.time != item.received for item in items):
            return True
        if not message.is_again or (message.is_retained and not self._knows_retained):
            return False
        if len(self._window) + _KEY * len(self._new) < self._most:
            return False
        return all(item.time == item.received or item.time <= self._last.get(item.machine, 0) for item in items)

    def _keys(self) -> tuple[int, ...]:
        self._keep()
        return struct.unpack(f">{len(self._window) // _KEY}Q", self._window)

    def _again(self, message: Message, key: int, digest: int) -> Verdict:
        if message.qos == 2 and self._unreleased.get(str(message.mid)) == digest:
            return "same"
        keys = self._keys()
        # A released packet identifier of QoS 2 may be another message's already: some brokers give the lowest that is free.
        if message.qos == 1 and not message.is_retained and key in keys:
            return "same"
        return "unsure" if any(each & 0xFFFF_FFFF == digest for each in keys) else "new"

    def released(self, mids: Sequence[int]) -> None:
        """The broker knows that we have these messages of QoS 2: their packet identifiers are free."""
        for mid in mids:
            self._unreleased.pop(str(mid), None)

    def _keep(self) -> None:
        if self._new:
            self._window = (self._window + struct.pack(f">{len(self._new)}Q", *self._new))[-self._most :]
            self._new.clear()

    def took(self, items: list[Reading | Draft]) -> None:
        """These came."""
        last = self._last
        latest = items[0].received + LATEST_NS if items else 0
        for item in items:
            if isinstance(item, Reading):
                known = last.get(item.machine, 0)
                if 0 < known < item.time <= latest and not self._untimed:
                    last[item.machine] = item.time
                elif item.time > known or self._untimed:
                    self._heard(item)
            elif item.type is not Quarantined:
                self._heard(item)
                if item.type is MachineStateChanged:
                    self._states[item.machine] = {name: item.fields.get(name) for name in _TOLD}
                    self._away.discard(item.machine)

    def _heard(self, item: Reading | Draft) -> None:
        newest = self._newest(item.machine)
        newest.take(item.time, item.received)
        self._put(item.machine, newest)

    def clock_set(self, machine: str, time: int, received: int) -> None:
        """The machine's clock was set, and says ``time`` now."""
        newest = self._newest(machine)
        newest.set(time, received)
        self._put(machine, newest)

    def _newest(self, machine: str) -> Newest:
        return Newest(self._last.get(machine), is_own=machine not in self._untimed)

    def _put(self, machine: str, newest: Newest) -> None:
        if newest.time is not None:
            self._last[machine] = newest.time
        if newest.is_own:
            self._untimed.discard(machine)
        else:
            self._untimed.add(machine)

    def gaps(self, cause: str, received: int, detail: str, *, possible: bool, since: int | None = None) -> list[Draft]:
        """For every machine: readings and events since its last, or since ``since`` when that is earlier, are, or may be, missing.

        From the machine's last word on, not from the broker's last PINGRESP: that proves the connection and nothing of the queue. Order holds
        among messages of a topic (MQTT 5, 4.6), not between them and a PINGRESP; a broker may answer one while messages it has already
        confirmed to their publishers wait behind its in-flight window, in another thread or on another node of its cluster, and lose them
        with the session. An OPC UA keep-alive is another thing: it carries the number of the next notification message.
        """
        kinds: tuple[Kind, ...] = ("signals", "production")
        return [
            gap(
                machine, cause, last if since is None else min(last, since), max(last, received), received,
                possible=possible, detail=detail, kind=kind,
            )
            for machine, last in sorted(self._last.items())
            for kind in kinds
        ]  # fmt: skip

    def away(self, received: int, since: int = 0) -> list[Draft]:
        """NO_DATA for every machine whose state was known, from its last word on, or ``since`` then."""
        lost = [machine for machine in sorted(self._states) if machine not in self._away]
        self._away.update(lost)
        return [no_data_draft(machine, max(self._last.get(machine, received), since), received) for machine in lost]

    def back(self, received: int) -> list[Draft]:
        """The last state of machines that told no newer one since they were away: the session kept every change, so it holds."""
        found = []
        for machine in sorted(self._away):
            time = max(received, self._last.get(machine, 0))
            found.append(Draft(machine, time, received, MachineStateChanged, dict(self._states[machine])))
        self._away.clear()
        return found

    def state(self) -> dict[str, Any]:
        """For the resume state."""
        self._keep()
        return {
            "window": self._window, "unreleased": dict(self._unreleased), "last": dict(self._last), "states": {m: dict(s) for m, s in self._states.items()},
            "away": sorted(self._away), "session": self.had_session, "filters": list(self.filters), "qos": self.qos,
            "broker": dict(self.broker), "untimed": sorted(self._untimed),
        }  # fmt: skip
