"""What a source says about a signal is a row of its own, the last one told, whether its values or its description came first."""

from __future__ import annotations

from pathlib import Path

from shinkei_events.identity import StreamId
from shinkei_events.model.numbered import SignalDescribed
from shinkei_store.pool import connect
from tests.support.postgres import EmbeddedServer
from tests.support.store import EPOCH, T0, migrated, record, site_on

STREAM = StreamId(EPOCH, "OP10", "production")


def described(number: int, high: float, unit: str | None = "°C") -> SignalDescribed:
    return SignalDescribed(
        stream=STREAM, number=number, signals=0, time=T0 + number, received=T0, name="heat", source="press", node="nsu=urn:p;s=Heat",
        data_type="Double", unit=unit, unece="CEL", low=0.0, high=high, description="bearing", sampling_ms=100.0, queue_size=300,
        instrument_low=-40.0, instrument_high=125.0,
    )  # fmt: skip


def test_the_last_description_is_kept(embedded_server: EmbeddedServer, tmp_path: Path) -> None:
    plant = site_on(tmp_path, migrated(embedded_server))
    record(plant, [("shinkei.signal.v1", described(number, high)) for number, high in ((1, 90.0), (2, 95.0))])
    with connect(plant, "ui") as conn:  # with the rights of the screens
        sql = """select unit, unece, low, high, source, node, data_type, description, described, sampling_ms, queue_size,
            instrument_low, instrument_high from signal where machine = 'OP10' and name = 'heat'"""
        wanted = (
            "°C",
            "CEL",
            0.0,
            95.0,
            "press",
            "nsu=urn:p;s=Heat",
            "Double",
            "bearing",
            T0 + 2,
            100.0,
            300,
            -40.0,
            125.0,
        )
        assert conn.execute(sql).fetchone() == wanted
