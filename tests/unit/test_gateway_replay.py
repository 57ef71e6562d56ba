"""Quarantined messages taken again: by the mapping of now, at the times they had, once."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from shinkei_events.codec import decode
from shinkei_events.errors import BadInput
from shinkei_events.frames import can_join
from shinkei_events.identity import StreamId
from shinkei_events.model.frame import Context, Frame
from shinkei_events.model.machine import EnergyCounted, MachineStateChanged, SetupChanged
from shinkei_events.model.operation import Operation
from shinkei_events.model.progress import Command, Replay
from shinkei_events.model.quarantine import Quarantined
from shinkei_events.settings import strict
from shinkei_gateway.intake import Batch, Draft, Intake, Reading
from shinkei_gateway.mqtt.payload import Mapping
from shinkei_gateway.mqtt.settings import TopicMap
from shinkei_gateway.opcua.binary import Scope
from shinkei_gateway.opcua.plan import plan
from shinkei_gateway.opcua.replay import node_again
from shinkei_gateway.opcua.settings import OpcuaSource
from shinkei_gateway.opcua.structures import Structures
from shinkei_gateway.quarantine import quarantined
from shinkei_gateway.quarantine_read import in_folder, in_spool
from shinkei_gateway.reconcile import Books
from shinkei_gateway.replay import Replayed, Replays
from shinkei_gateway.spool.commit import GroupCommit
from shinkei_gateway.spool.disk import FolderDisk
from shinkei_gateway.spool.spool import open_spool
from shinkei_gateway.taking import Taking

T = 1_700_000_000_000_000_000
EPOCH = "018bcfe5-6800-7000-8000-000000000000"
STREAM = StreamId(EPOCH, "M", "quarantine")


class Broker:
    """A source as MQTT's: the real mapping, without a connection. ``value``: where the mapping finds the value."""

    name, history = "cell", False

    def __init__(self, value: str = "/v") -> None:
        topic = {"filter": "p/+/+", "as": "signal", "machine": "{1}", "signal": "{2}", "time": "/ts", "value": value}
        self._mapping = Mapping("cell", [strict(topic, TopicMap, "t")], [])

    def replay(self, record: Quarantined, raw: bytes) -> list[Reading | Draft]:
        return self._mapping.take(record.where, raw, record.received)


class Bench:
    """A gateway's core with one quarantined message in its spool. ``source``: what runs as ``cell``."""

    def __init__(self, folder: Path, source: object | None) -> None:
        self.folder, self.source = folder, source
        self.books = Books()
        self.open()

    def open(self) -> None:
        self.spool, _ = open_spool(FolderDisk(self.folder), lambda: EPOCH)
        self.commit = GroupCommit(self.spool)
        self.intake = Intake(self.spool, self.commit, "gw", "0", lambda: T + 10**9)
        self.taking = Taking(self.intake, self.books, lambda: T, lambda: 0)
        self.replays = Replays(
            self.taking,
            lambda name: self.source if name == "cell" else None,
            lambda stream, number: in_spool(self.spool, stream, number),
        )

    def put(self, *items: Reading | Draft) -> None:
        async def put() -> None:
            await self.taking.put(Batch("cell", list(items)))

        asyncio.run(put())

    def replay(self, number: int = 1, **more: Any) -> dict[str, Any]:
        request = Replay(stream=STREAM, number=number, **more)
        command = Command(id="c", gateway="gw", issuer="t", deadline=T, request=request)

        async def ask() -> dict[str, Any]:
            return await self.replays(command)

        return asyncio.run(ask())

    def frames(self) -> list[Frame]:
        cursor, found = self.spool.begin(), []
        while (step := self.spool.read(cursor)) is not None:
            batch, cursor = step
            events = (decode(e.type, p) for e, p in zip(batch.index.entries, batch.payloads(), strict=True))
            found += [event for event in events if isinstance(event, Frame)]
        return found


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path, Broker())
    made.put(
        Draft("M", T, T, MachineStateChanged, {"state": "EXECUTE"}),
        Reading("M", "a", T + 5, 1.0, 0, T + 5),
        quarantined("cell", "M", "p/M/b", json.dumps({"ts": T + 3, "value": 7}).encode(), "no /v", T + 6),
    )
    yield made
    made.commit.stop()


def test_what_the_mapping_understands_now_gets_the_next_number_and_keeps_its_times(bench: Bench) -> None:
    bench.source = Broker("/value")
    assert bench.replay() == {"replayed": f"{STREAM}/1", "again": False, "items": 1}
    before, frame = bench.frames()
    assert (frame.first, frame.t0, frame.v, frame.channels) == (before.end, T + 3, [7], ["b"])
    assert frame.received == [(1, T + 6)]
    assert frame.replay_of == f"{STREAM}/1"
    assert frame.context == Context()  # nobody knows what held then
    bench.put(Reading("M", "a", T + 9, 2.0, 0, T + 9))
    after = bench.frames()[-1]
    assert (after.context.state, after.origin) == ("EXECUTE", None)
    assert not can_join(frame, after)


def test_replayed_twice_is_recognised_also_after_a_restart(bench: Bench) -> None:
    bench.source = Broker("/value")
    bench.replay()
    assert bench.replay()["again"]
    bench.commit.stop()
    bench.open()
    assert bench.replay() == {"replayed": f"{STREAM}/1", "again": True, "items": 0}
    assert len(bench.frames()) == 2


def test_what_is_still_not_understood_stays_where_it_is(bench: Bench) -> None:
    with pytest.raises(BadInput, match="/v"):
        bench.replay()
    with pytest.raises(BadInput, match="JSON"):
        bench.replay(payload=b'{"ts": 1, "v": 1e999}')
    assert len(bench.frames()) == 1
    assert bench.replay(payload=json.dumps({"ts": T + 3, "v": 8}).encode())["items"] == 1
    assert bench.frames()[-1].v == [8]


def test_refusals_say_why(bench: Bench) -> None:
    with pytest.raises(BadInput, match="no such quarantine record"):
        bench.replay(number=9)
    bench.put(quarantined("cell", "M", "p/M/b", b"x" * 100_000, "too long", T))
    with pytest.raises(BadInput, match="65536 of 100000 bytes"):
        bench.replay(number=2)
    bench.put(quarantined("other", "M", "p/M/b", b"x", "?", T))
    with pytest.raises(BadInput, match=r"source other is not in this gateway's plant.toml"):
        bench.replay(number=3)
    bench.source = object()
    with pytest.raises(BadInput, match="cannot take messages again"):
        bench.replay()


def test_a_record_that_the_spool_has_forgotten_comes_with_the_command(bench: Bench) -> None:
    payload = json.dumps({"ts": T + 3, "v": 9}).encode()
    record = Quarantined(
        stream=STREAM,
        number=40,
        signals=0,
        time=T,
        received=T + 6,
        source="cell",
        where="p/M/b",
        reason="?",
        raw=payload,
    )
    assert bench.replay(number=40, record=record)["items"] == 1
    with pytest.raises(BadInput, match="no such"):
        bench.replay(number=41, record=record)


def test_the_books_know_what_came_out_of_quarantine(bench: Bench) -> None:
    bench.source = Broker("/value")
    bench.replay()
    (row,) = bench.books.rows({}, 0)
    assert (row["received"], row["replayed"], row["quarantined"], row["balanced"]) == (3, 1, 1, True)


def test_a_folder_is_read_without_touching_it(bench: Bench, tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert [(record.reference, record.where) for record in in_folder(tmp_path)] == [(f"{STREAM}/1", "p/M/b")]
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert list(in_folder(tmp_path / "nothing")) == []


def test_replayed_numbers_are_kept_as_runs() -> None:
    done = Replayed()
    for number in (5, 1, 2, 9, 3, 5, 4):
        done.add(STREAM, number)
    assert done.state() == {str(STREAM): [[1, 6], [9, 10]]}
    again = Replayed(done.state())
    assert [number for number in range(12) if again.has(STREAM, number)] == [1, 2, 3, 4, 5, 9]


# ---- OPC UA ----------------------------------------------------------------------------------------------------------------
NODE = "nsu=urn:x;s="
SOURCE = strict(
    {
        "url": "opc.tcp://x:1", "machine": "M", "security": "none", "signals": [{"node": NODE + "F", "name": "force"}],
        "state": {"node": NODE + "S", "map": {"6": "EXECUTE"}}, "setup": [{"slot": "die", "node": NODE + "D", "type": "tool"}],
        "energy": {"node": NODE + "E", "medium": "electricity", "unit": "kWh"},
        "handshakes": [{"name": "cycle", "trigger": NODE + "C", "operation": NODE + "O"}], "type": "opcua",
    },
    OpcuaSource, "s",
)  # fmt: skip
OPERATION = json.dumps({"kind": "process", "station": "M", "started": T, "ended": T + 4, "counter": 12}).encode()


def again(where: str, raw: bytes) -> Any:
    record = Quarantined(
        stream=STREAM,
        number=1,
        signals=0,
        time=T + 4,
        received=T + 6,
        source="press",
        where=where,
        reason="?",
        raw=raw,
        content_type="text/plain",
    )
    (found,) = node_again(SOURCE, plan(SOURCE), record, raw)
    assert (found.machine, found.time, found.received) == ("M", T + 4, T + 6)
    return found


def test_values_of_nodes_are_taken_again_by_what_the_node_is() -> None:
    assert again(NODE + "F", b"12.5") == Reading("M", "force", T + 4, 12.5, 0, T + 6)
    state = again("state.state", b"6")
    assert (state.type, state.fields["state"], state.fields["code"]) == (MachineStateChanged, "EXECUTE", "6")
    setup = again(NODE + "D", b"DIE-4")
    assert (setup.type, setup.fields["unit"], setup.fields["action"]) == (SetupChanged, "DIE-4", "mounted")
    energy = again(NODE + "E", b"3.5")
    assert (energy.type, energy.fields["value"]) == (EnergyCounted, 3.5)


def test_the_bytes_of_a_server_are_decoded_again_with_what_is_known_by_now() -> None:
    raw = b"\x0b" + struct.pack("<d", 12.5)  # a Double as Variant
    record = Quarantined(
        stream=STREAM,
        number=1,
        signals=0,
        time=T + 4,
        received=T + 6,
        source="press",
        where=NODE + "F",
        reason="?",
        raw=raw,
    )
    scope = Scope(["http://opcfoundation.org/UA/"], Structures([]))
    assert node_again(SOURCE, plan(SOURCE), record, raw, scope) == [Reading("M", "force", T + 4, 12.5, 0, T + 6)]
    with pytest.raises(BadInput, match="not connected"):
        node_again(SOURCE, plan(SOURCE), record, raw)
    torn = msgspec.structs.replace(record, raw=raw[:4])
    with pytest.raises(BadInput, match="cut short"):
        node_again(SOURCE, plan(SOURCE), torn, torn.raw, scope)
    assert node_again(SOURCE, plan(SOURCE), record, b"7") == [Reading("M", "force", T + 4, 7, 0, T + 6)]


def test_an_operation_taken_again_has_the_id_of_its_edge() -> None:
    found = again("handshake cycle 12", OPERATION)
    assert found.type is Operation
    assert found.fields["operation_id"] == again("handshake cycle 12", OPERATION).fields["operation_id"]
    assert found.fields["operation_id"] != again("handshake cycle 13", OPERATION).fields["operation_id"]


@pytest.mark.parametrize(
    ("where", "raw", "why"),
    [
        (NODE + "gone", b"1", "no node of this source any more"),
        (NODE + "F", b"nan", "as JSON"),
        ("state.state", b"99", "state.map"),
        (NODE + "E", b'"much"', "a number"),
        ("handshake other", OPERATION, "not in this source"),
        ("handshake cycle 1", b"{", "JSON"),
        (NODE + "O", b"{}", "belongs to its cycle"),
    ],
)
def test_nodes_that_are_still_wrong_are_refused(where: str, raw: bytes, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        again(where, raw)
