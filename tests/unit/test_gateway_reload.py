"""A changed plant.toml: only what is different is touched, a wrong file changes nothing; shards and what they answer."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest

from shinkei_events.errors import BadConfig
from shinkei_events.identity import StreamId
from shinkei_events.model.progress import Apply, Browse, Replay, SendAgain
from shinkei_events.settings import Secret, load_plant, section, strict
from shinkei_gateway.forward import CREDIT_BYTES
from shinkei_gateway.opcua.settings import OpcuaSource
from shinkei_gateway.reload import read_again, stamp_of
from shinkei_gateway.run import run
from shinkei_gateway.running import RunningSources
from shinkei_gateway.settings import GatewaySettings, in_shard, names_all, shards_of, sources_of
from shinkei_gateway.shards import address_of, concerns, credit_of, forgotten, left_behind, part_name, spool_folder
from tests.support.gateway_site import write_site


class Settings(msgspec.Struct, frozen=True):
    machine: str
    speed: int = 1


class Source:
    """Runs until it is told to stop; says what happened in ``log``."""

    def __init__(self, name: str, settings: Settings, log: list[str]) -> None:
        self.name, self._settings, self._log = name, settings, log

    def machines(self) -> list[str]:
        return [self._settings.machine]

    def health(self) -> dict[str, Any]:
        return {"speed": self._settings.speed}

    async def run(self, stop: asyncio.Event) -> None:
        self._log.append(f"{self.name} starts {self._settings.speed}")
        await stop.wait()
        self._log.append(f"{self.name} ends {self._settings.speed}")


def test_only_what_is_different_is_touched() -> None:
    log: list[str] = []

    async def settled() -> None:
        log.append("settled")

    async def test() -> None:
        sources = RunningSources(lambda name, settings: Source(name, settings, log), settled)
        await sources.apply({"a": Settings("A"), "b": Settings("B"), "c": Settings("C")})
        kept = sources.get("a")
        await asyncio.sleep(0)
        log.clear()
        found = await sources.apply({"a": Settings("A"), "b": Settings("B", 2), "d": Settings("D")})
        await asyncio.sleep(0)
        assert (found.added, found.changed, found.removed, found.same) == (["d"], ["b"], ["c"], ["a"])
        assert found.gone == ["C"]
        assert sources.get("a") is kept
        assert sources.health() == {"a": {"speed": 1}, "b": {"speed": 2}, "d": {"speed": 1}}
        assert sorted(log[:2]) == ["b ends 1", "c ends 1"]
        assert log[2:] == ["settled", "b starts 2", "d starts 1"]
        await sources.stop()

    asyncio.run(test())


def test_a_source_whose_secret_was_changed_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "a.pw").write_text("first")
    (tmp_path / "ca.pem").write_text("one")
    broker = {"type": "mqtt", "url": "mqtts://192.0.2.1:8883", "topics": [], "ca": "file:ca.pem"}
    cell = broker | {"client_id": "x", "user": "u", "password": "file:a.pw"}
    sources = sources_of(gateway(cell=cell, other=broker | {"client_id": "y"}))

    async def settled() -> None:
        pass

    async def test() -> None:
        made = RunningSources(
            lambda name, _settings: Source(name, Settings(name), []), settled, lambda source: stamp_of(source, tmp_path)
        )
        await made.apply(sources)
        assert (await made.apply(sources)).changed == []
        (tmp_path / "a.pw").write_text("second")
        assert (await made.apply(sources)).changed == ["cell"]
        assert (await made.apply(sources)).changed == []
        (tmp_path / "ca.pem").write_text("another")
        assert (await made.apply(sources)).changed == ["cell", "other"]
        (tmp_path / "a.pw").unlink()
        assert (await made.apply(sources)).changed == ["cell"]
        assert b"second" not in stamp_of(sources["cell"], tmp_path)
        await made.stop()

    asyncio.run(test())


def test_a_machine_that_another_source_still_speaks_for_is_not_gone() -> None:
    async def settled() -> None:
        pass

    async def test() -> None:
        sources = RunningSources(lambda name, settings: Source(name, settings, []), settled)
        await sources.apply({"a": Settings("A"), "again": Settings("A", 2)})
        assert (await sources.apply({"again": Settings("A", 2)})).gone == []
        assert (await sources.apply({})).gone == ["A"]

    asyncio.run(test())


# ---- reading again -----------------------------------------------------------------------------------------------------
def press(**more: Any) -> dict[str, Any]:
    return {"type": "opcua", "url": "opc.tcp://192.0.2.1:4840/", "machine": "P", "security": "none"} | more


def test_a_wrong_file_is_refused_with_the_reason(tmp_path: Path) -> None:
    plant = load_plant(write_site(tmp_path, {"press": press()}), tmp_path)
    settings = section(plant, "gateway", GatewaySettings)
    write_site(tmp_path, {"press": press(publish="1 second")})
    with pytest.raises(BadConfig, match=r"gateway\.sources\.press\.publish"):
        read_again(plant, settings)
    write_site(tmp_path, {"press": press()}, shard="b")
    with pytest.raises(BadConfig, match=r"gateway\.shard.*restart"):
        read_again(plant, settings)
    broker = {"type": "mqtt", "url": "mqtt://192.0.2.1:1883", "client_id": "x", "topics": []}
    cell = broker | {"user": "u", "password": "file:none.pw"}
    write_site(tmp_path, {"press": press(), "cell": cell})
    with pytest.raises(BadConfig, match="cannot be read"):
        read_again(plant, settings)
    (tmp_path / "none.pw").write_text("x")
    assert sorted(read_again(plant, settings).settings.sources) == ["cell", "press"]


def test_what_counts_from_the_next_start_on_is_named(tmp_path: Path) -> None:
    plant = load_plant(write_site(tmp_path, {}), tmp_path)
    settings = section(plant, "gateway", GatewaySettings)
    write_site(tmp_path, {}, http="127.0.0.1:9999", bootstrap="kafka:9092")
    assert read_again(plant, settings).later == ["gateway.http", "log"]


def test_settings_with_the_same_secret_are_equal() -> None:
    assert Secret("env:A") == Secret("env:A")
    assert Secret("env:A") != Secret("env:B")
    assert len({Secret("env:A"), Secret("env:A"), Secret("file:A")}) == 2


# ---- shards ------------------------------------------------------------------------------------------------------------
def gateway(**sources: dict[str, Any]) -> GatewaySettings:
    return strict({"id": "gw", "sources": sources}, GatewaySettings, "gateway")


def test_sources_run_in_the_shard_they_name() -> None:
    settings = gateway(one=press(), two=press(machine="Q", shard="b"), three=press(machine="R", shard="a"))
    assert shards_of(settings) == ["0", "a", "b"]
    assert list(in_shard(settings, "b")) == ["two"]
    assert list(in_shard(settings, "0")) == ["one"]
    assert [part_name(settings, shard) for shard in shards_of(settings)] == ["gateway", "gateway-a", "gateway-b"]
    assert credit_of(settings) == CREDIT_BYTES // 3
    assert credit_of(msgspec.structs.replace(settings, writers=4)) == CREDIT_BYTES // 4
    fixed = msgspec.structs.replace(settings, http="0.0.0.0:9100")
    assert [address_of(fixed, shard) for shard in ("0", "a")] == ["0.0.0.0:9100", "0.0.0.0:0"]


def test_tck_id_operational_behavior_host_application_host_id_two_sources_have_no_name_in_common_at_one_broker() -> (
    None
):
    cell: dict[str, Any] = {"type": "mqtt", "url": "mqtt://x:1", "client_id": "gw", "topics": []}
    hall: dict[str, Any] = {
        "type": "sparkplug",
        "url": "mqtt://x:1",
        "client_id": "hall",
        "role": "primary",
        "host_id": "shinkei",
    }
    with pytest.raises(
        BadConfig, match=r"gateway\.sources\.two\.client_id = 'gw': source one has it at the same broker"
    ):
        sources_of(gateway(one=cell, two=hall | {"client_id": "gw"}))
    with pytest.raises(
        BadConfig, match=r"gateway\.sources\.two\.host_id = 'shinkei': source one has it at the same broker"
    ):
        sources_of(gateway(one=hall, two=hall | {"client_id": "other"}))
    # One host at several servers is what the specification asks of it (5.10): a source for each.
    assert len(sources_of(gateway(one=hall, two=hall | {"url": "mqtt://y:1"}, three=cell | {"url": "mqtt://x:2"}))) == 3


def test_all_sources_of_a_machine_sit_in_one_shard() -> None:
    cell = {"type": "mqtt", "url": "mqtt://x:1", "client_id": "x", "topics": [], "machines": ["P"], "shard": "b"}
    with pytest.raises(BadConfig, match=r"gateway\.sources\.cell\.shard.*machine P is in shard 0 by source one"):
        gateway(one=press(), cell=cell)
    assert shards_of(gateway(one=press(shard="b"), cell=cell)) == ["0", "b"]


def test_a_machine_taken_out_while_the_gateway_was_down_is_left_behind() -> None:
    epoch, old = "018bcfe5-6800-7002-ab54-a98ceb1f0ad2", "018bcfe5-6800-7002-ab54-a98ceb1f0ad1"
    streams = {
        f"{epoch}/P/production": 9, f"{epoch}/P/signals": 9,
        f"{epoch}/Q/production": 2, f"{epoch}/Q/signals": 40,
        f"{epoch}/states/production": 3,
        f"{epoch}/ended/production": 9,
        f"{epoch}/cell/production": 5, f"{epoch}/cell/quarantine": 4,
        f"{epoch}/only-refused/production": 2, f"{epoch}/only-refused/quarantine": 4,
        f"{epoch}/past/production": 2, f"{epoch}/past/history": 90,
        f"{epoch}/both/production": 7, f"{epoch}/both/history": 90,
        f"{old}/older/production": 9,
    }  # fmt: skip
    closed = {f"{epoch}/ended/production"}
    assert left_behind(streams, epoch, closed, {"P", "cell"}, is_recorded=True) == ["Q", "states"]
    assert left_behind(streams, epoch, closed, {"P", "cell"}, is_recorded=False) == ["Q", "both", "states"]


def test_where_topics_name_the_machines_nobody_knows_which_are_gone() -> None:
    """A machine that is known by one replayed message alone was ended at each start of its gateway."""

    def cell(machine: str, **more: Any) -> dict[str, Any]:
        topic = {"filter": "plant/+/+", "as": "signal", "machine": machine, "signal": "{2}", "value": ""}
        return {
            "type": "mqtt",
            "url": "mqtt://192.0.2.1:1883",
            "client_id": machine + str(more),
            "topics": [topic],
        } | more

    found = sources_of(gateway(one=press(), any=cell("{1}"), listed=cell("{1}", machines=["Q"]), fixed=cell("R")))
    assert {name: names_all(source) for name, source in found.items()} == {
        "one": True, "any": False, "listed": True, "fixed": True,
    }  # fmt: skip


def test_a_spool_that_no_source_names_any_more_is_told_and_can_still_be_sent(tmp_path: Path) -> None:
    plant = load_plant(write_site(tmp_path, {"one": press(shard="b")}), tmp_path)
    settings = section(plant, "gateway", GatewaySettings)
    for shard in ("0", "b", "old"):
        folder = spool_folder(plant, settings, shard)
        folder.mkdir(parents=True)
        (folder / "000000000001.seg").touch()
    assert forgotten(plant, settings) == [("old", spool_folder(plant, settings, "old"))]
    with pytest.raises(BadConfig, match=r"--shard = 'nobody'"):
        run(plant, threading.Event(), "nobody")
    with pytest.raises(BadConfig, match="each is a process of its own"):
        run(plant, threading.Event())


def test_fewer_writers_than_shards_are_wrong() -> None:
    with pytest.raises(BadConfig, match=r"gateway\.writers"):
        strict(
            {"id": "gw", "writers": 1, "sources": {"a": press(), "b": press(machine="Q", shard="b")}},
            GatewaySettings,
            "g",
        )


def test_each_command_is_answered_by_the_shard_it_concerns() -> None:
    settings = gateway(one=press(), two=press(machine="Q", shard="b"))
    stream = StreamId("018bcfe5-6800-7000-8000-000000000000", "Q", "signals")

    def who(request: Any) -> list[str]:
        has = {"0": {"one": 1}, "b": {"two": 1}}
        streams = {"0": set(), "b": {str(stream)}}
        return [s for s in ("0", "b") if concerns(request, settings, s, has[s].get, streams[s])]

    assert who(Apply()) == ["0", "b"]
    assert who(SendAgain(stream=stream, number=1)) == ["b"]
    assert who(Browse(source="two")) == ["b"]
    assert who(Browse(source="nobody's")) == ["0"]
    assert who(Replay(stream=stream, number=1)) == ["b"]


# ---- groups ------------------------------------------------------------------------------------------------------------
def test_a_group_says_what_holds_for_each_of_its_signals() -> None:
    node = "nsu=urn:x;s="
    signals = [{"node": node + "a", "name": "a"}]
    groups = {"slow": {"sampling": "1s", "queue": 60, "signals": [
        {"node": node + "b", "name": "b"}, {"node": node + "c", "name": "c", "queue": 5}]}}  # fmt: skip
    source = sources_of(gateway(one=press(signals=signals, groups=groups)))["one"]
    assert isinstance(source, OpcuaSource)
    assert [(s.name, s.sampling, s.queue) for s in source.signals] == [("a", None, None), ("b", 1.0, 60), ("c", 1.0, 5)]


@pytest.mark.parametrize(
    "groups",
    [
        {"slow": {"sampling": "1s"}},
        {"slow": 1},
        {"slow": {"signals": {}}},
        {"slow": {"samplin": "1s", "signals": [{}]}},
    ],
)
def test_a_wrong_group_is_named(groups: Any) -> None:
    with pytest.raises(BadConfig, match=r"gateway\.sources\.one"):
        gateway(one=press(groups=groups))
