"""Columns are a way to be quick, and nothing else: whatever a server sends, the spool holds the same bytes as value by value."""

from __future__ import annotations

import asyncio
import math
import random
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua

from shinkei_events.settings import strict
from shinkei_gateway.intake import Batch, Intake
from shinkei_gateway.offered import Reading, ReadingColumns
from shinkei_gateway.opcua import decode, item_columns
from shinkei_gateway.opcua.decode import decode_publish_response
from shinkei_gateway.opcua.plan import plan
from shinkei_gateway.opcua.settings import OpcuaSource
from shinkei_gateway.opcua.structures import Structures
from shinkei_gateway.opcua.translate import Translator
from shinkei_gateway.spool.commit import GroupCommit
from shinkei_gateway.spool.disk import FolderDisk
from shinkei_gateway.spool.spool import open_spool
from tests.support.opcua_responses import PUBLISHED, PUBLISHED_NS, data_change, item, response
from tests.support.seed import seed_of_run
from tests.support.sizes import Sizes

V = ua.VariantType
NODES = 60
SOURCE = strict({"type": "opcua", "url": "opc.tcp://127.0.0.1:4840", "machine": "op10", "security": "none",
                 "signals": [{"node": f"nsu=urn:press;i={n}", "name": f"s{n}"} for n in range(NODES)]},
                OpcuaSource, "x")  # fmt: skip
KINDS: list[tuple[ua.VariantType, Any]] = [
    (V.Double, lambda r: r.uniform(-1e9, 1e9)), (V.Float, lambda r: r.uniform(-9, 9)), (V.Int64, lambda r: r.randrange(-(1 << 63), 1 << 63)),
    (V.Boolean, lambda r: r.random() < 0.5), (V.String, lambda r: "運" * r.randrange(4)),
]  # fmt: skip


def moment(chosen: random.Random) -> datetime | None:
    """Mostly of just now, now and then none, or one that no clock of a plant says."""
    far = chosen.random()
    if far < 0.02:
        return None
    if far < 0.04:
        return datetime(1650, 1, 1, tzinfo=UTC)
    return PUBLISHED + timedelta(microseconds=chosen.randrange(-20, 1), days=-30 if far < 0.05 else 0)


def message(chosen: random.Random) -> bytes:
    """Many values of one kind from one cycle, often with nothing odd among them; one time after the other, or all at once."""
    kind, value = chosen.choice(KINDS)
    odd = chosen.choice([0, 0, 0.03, 0.5])
    cycle, server, status = PUBLISHED, chosen.random() < 0.3, chosen.choice([0, None, 0x40000000])
    items = []
    for at in range(chosen.choice([3, 15, 16, 40, 90])):
        cycle += timedelta(microseconds=chosen.choice([0, 1, -3]))
        one = item(at % NODES, value(chosen), kind, status, cycle, cycle + timedelta(seconds=server))
        if chosen.random() < odd:
            kind_of_one, of_one = chosen.choice([(kind, value), (V.Double, lambda _: math.nan), *KINDS])
            handle, code = chosen.choice([at % NODES, NODES + 5]), chosen.choice([0, None, 0x80000000, 0x480])
            one = item(handle, of_one(chosen), kind_of_one, code, moment(chosen), moment(chosen))
        items.append(one)
    return response(data_change(items))


class Way:
    """From a response's bytes to the spool's."""

    def __init__(self, folder: Path) -> None:
        self.spool, _ = open_spool(FolderDisk(folder), lambda: "00000000-0000-7000-8000-000000000000")
        self.commit = GroupCommit(self.spool)
        self.intake = Intake(self.spool, self.commit, "gw", "0", lambda: PUBLISHED_NS)
        self.translator = Translator("src", SOURCE, plan(SOURCE), None, 0)
        self.kinds: Counter[str] = Counter()
        self.said: list[Any] = []

    def take(self, body: bytes) -> None:
        found = decode_publish_response(body, Structures(["http://opcfoundation.org/UA/", "urn:press"]))
        told = self.translator.take(found.values, found.bad, PUBLISHED_NS, 0, found.publish_time)
        self.kinds[type(told.items).__name__] += 1
        self.said.append((list(found.values), told._replace(items=list(told.items))))
        for items in (told.gaps, told.items):
            self.last = self.intake.put(Batch("src", items, told.resume))

    def stored(self) -> list[tuple[Any, bytes]]:
        self.last.result(300)
        self.commit.stop()
        cursor, found = self.spool.begin(), []
        while (step := self.spool.read(cursor)) is not None:
            batch, cursor = step
            found += list(zip(batch.index.entries, batch.payloads(), strict=True))
        return found


def test_columns_or_value_by_value_the_spool_holds_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = random.Random(seed_of_run())
    n = Sizes.from_environment().of("messages in columns and value by value", sample=200, full=2_000)
    columns, each = Way(tmp_path / "columns"), Way(tmp_path / "each")
    for _ in range(n):
        body = message(chosen)
        cut = chosen.random()
        for way, least in ((columns, item_columns.WORTH_IT), (each, sys.maxsize)):
            with monkeypatch.context() as patch:
                patch.setattr(item_columns, "WORTH_IT", least)
                patch.setattr(decode, "WORTH_IT", least)
                if cut < 0.03:
                    way.translator.interrupted("connection_lost")
                elif cut < 0.06:
                    way.translator.continued(0)
                way.take(body)
        assert repr(columns.said) == repr(each.said)  # NaN is not itself
        columns.said.clear()
        each.said.clear()
    assert columns.kinds["ReadingColumns"] >= n // 40, "the quick way was taken"
    assert each.kinds["ReadingColumns"] == 0
    assert columns.stored() == each.stored()


def test_columns_are_a_sequence_of_readings() -> None:
    made = ReadingColumns("M", ["a", "b", "c"], [3, 1, 2], [1.5, True, "x"], [3, None, 7], 9)
    readings = [Reading("M", "a", 3, 1.5, 0, 9), Reading("M", "b", 1, True, 0, 9), Reading("M", "c", 2, "x", 0, 9, 7)]
    assert list(made) == readings
    assert list(made[1:]) == readings[1:]
    assert list(made.picked([1, 2, 0])) == [readings[1], readings[2], readings[0]]
    assert made[-1] == readings[-1]


def test_a_value_that_no_record_carries_is_refused_alone(tmp_path: Path) -> None:
    """Also when it came among hundreds in columns."""

    async def run() -> None:
        way = Way(tmp_path)
        values = [float(n) for n in range(600)]
        long = "x" * 501  # no name of a channel is longer
        channels = [long if n == 300 else f"s{n}" for n in range(600)]
        made = ReadingColumns("op10", channels, [PUBLISHED_NS] * 600, values, None, PUBLISHED_NS)
        way.last = way.intake.put(Batch("src", made))
        kinds = Counter(entry.type for entry, _ in way.stored())
        assert kinds["shinkei.quarantined.v1"] == 1
        assert way.intake.next_number(way.intake.stream("op10", "signals")) == 600

    asyncio.run(run())
