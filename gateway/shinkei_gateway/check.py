"""Tries every source once with its real protocol: what `shinkei check --connect` says about machines. Changes nothing anywhere."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import msgspec

from shinkei_events.errors import NotConnected, RetryAfter
from shinkei_events.runfile import read_run
from shinkei_events.settings import PlantFile, section
from shinkei_gateway.mqtt.broker_settings import BrokerSettings, dial
from shinkei_gateway.mqtt.broker_state import BrokerState, look
from shinkei_gateway.mqtt.connection import Limits
from shinkei_gateway.mqtt.dial import connection as connection_of
from shinkei_gateway.mqtt.limits import broken, promises, shortfalls
from shinkei_gateway.mqtt.settings import MqttSource
from shinkei_gateway.opcua.check import clock_problems, clock_skew
from shinkei_gateway.opcua.monitored import Monitored
from shinkei_gateway.opcua.plan import plan
from shinkei_gateway.opcua.sample import sample_of
from shinkei_gateway.opcua.security import security_of
from shinkei_gateway.opcua.session import Session
from shinkei_gateway.opcua.settings import OpcuaSource
from shinkei_gateway.settings import FileSource, GatewaySettings, Source, shards_of, sources_of
from shinkei_gateway.shards import forgotten, part_name
from shinkei_gateway.sparkplug.settings import SparkplugSource
from shinkei_gateway.sparkplug.topic import filters

COLUMNS = ("what", "state", "detail")


def try_sources(plant: PlantFile) -> list[dict[str, Any]]:
    """One row a source (and one a forgotten spool): ``state`` ok, wrong (it answers, but some of what is configured is not there) or absent."""
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)
    settings = section(plant, "gateway", GatewaySettings)
    return [
        *asyncio.run(_all(sources_of(settings), plant)),
        *_forgotten(plant, settings),
        *_kept_short(plant, settings),
    ]


def _kept_short(plant: PlantFile, settings: GatewaySettings) -> list[dict[str, Any]]:
    """Shards that run and cannot keep for ``keep_after`` what is recorded."""
    rows = []
    for shard in shards_of(settings):
        run = read_run(plant.dir, part_name(settings, shard))
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            with urlopen(f"http://{(run or {})['http']}/health", timeout=5) as answer:
                why = json.load(answer)["details"]["kept_short"]
            if why:
                rows.append({"what": f"gateway.spool of shard {shard}", "state": "wrong", "detail": why})
    return rows


def _forgotten(plant: PlantFile, settings: GatewaySettings) -> list[dict[str, Any]]:
    """Spools of shards that no source names any more: what they have not sent waits there."""
    return [
        {"what": f"gateway.shard {shard}", "state": "wrong", "detail": f"its spool is here and no source names it: "
         f"`shinkei gateway run --shard {shard}` sends what is left; when /health says backlog 0, delete {folder}"}
        for shard, folder in forgotten(plant, settings)
    ]  # fmt: skip


async def _all(sources: dict[str, Source], plant: PlantFile) -> list[dict[str, Any]]:
    return list(await asyncio.gather(*(_one(name, source, plant) for name, source in sources.items())))


async def _one(name: str, source: Source, plant: PlantFile) -> dict[str, Any]:
    try:
        if isinstance(source, OpcuaSource):
            state, detail = await _opcua(name, source, plant)
        elif isinstance(source, MqttSource):
            state, detail = await _mqtt(source, plant.path.parent)
        elif isinstance(source, SparkplugSource):
            state, detail = await _sparkplug(source, plant.path.parent)
        else:
            state, detail = _file(source, plant.dir)
    except NotConnected as error:
        url = getattr(source, "url", "")
        state, detail = (
            "absent",
            str(error) if isinstance(error, RetryAfter) or url in str(error) else f"{url}: {error}",
        )
    return {"what": f"gateway.sources.{name}", "state": state, "detail": detail}


async def _opcua(name: str, source: OpcuaSource, plant: PlantFile) -> tuple[str, str]:
    """Every node is read, and monitored in a subscription that never publishes, to see what the server makes of the wishes."""
    security = security_of(name, source, plant)
    session = Session(source.url, f"shinkei check {name}", source.timeout, security.secure)
    items = plan(source)
    problems: list[str] = []
    try:
        await session.connect()
        subscription, _, _ = await session.subscribe(source.publish, source.keepalive)
        monitored = Monitored(items)
        watched = await monitored.watch(session, subscription, range(len(items)))
        problems += [f"{items[handle].node}: {reason}" for handle, reason in monitored.refused.items()]
        values = await session.read([session.resolve(items[handle].node) for handle in watched])
        good = sum(sample_of(value).status < 0x8000_0000 for value in values)
        problems += clock_problems(await clock_skew(session, time.time_ns), source.clock_limit)
    except NotConnected as error:
        raise security.explain(error) from error
    finally:
        await session.close()
    if monitored.covers() < source.outage:
        problems.append(f"the server's queues cover {monitored.covers():.3g} s, promised are {source.outage:g} s")
    if plain := monitored.without_trigger():
        problems.append(f"the server takes no trigger for {plain} nodes: equal values with new times are not told")
    problems += security.health().get("warnings", [])
    detail = f"{len(watched)} of {len(items)} nodes, {good} with a good value"
    return ("wrong", "; ".join([detail, *problems[:10]])) if problems else ("ok", detail)


async def _mqtt(source: MqttSource, folder: Path) -> tuple[str, str]:
    """With a client id of its own, so that a running gateway keeps its session."""
    probe = msgspec.structs.replace(source, client_id=f"{source.client_id}-check")
    connection = connection_of(dial(probe, folder, keep_session=False), lambda: 0)
    try:
        await connection.connect()
        await connection.subscribe([topic.filter for topic in source.topics], source.qos)
    finally:
        await connection.close()
    limits, state = await _broker(probe, folder)
    problems = [*promises(source), *shortfalls(source, limits), *broken(source, state)]
    detail = f"{len(source.topics)} topic filters granted, {_said(state)}"
    return ("wrong", "; ".join([detail, *problems])) if problems else ("ok", detail)


async def _broker(probe: BrokerSettings, folder: Path) -> tuple[Limits, BrokerState]:
    """What the broker says of itself, to a client that would keep a session."""
    return await look(dial(probe, folder), time.time_ns)


def _said(state: BrokerState) -> str:
    if not state.is_known:
        return "the broker says nothing of itself in $SYS: whether it drops what waits cannot be seen"
    return f"{state.version or 'a broker'}, {'?' if state.dropped is None else state.dropped} messages dropped"


async def _sparkplug(source: SparkplugSource, folder: Path) -> tuple[str, str]:
    """Says no STATE: edge nodes must not believe that a host which only tries is there. Nothing of theirs waits in the broker (QoS 0)."""
    probe = msgspec.structs.replace(source, client_id=f"{source.client_id}-check")
    connection = connection_of(dial(probe, folder, keep_session=False), lambda: 0)
    wanted = filters(source.group_ids, source.nodes)
    try:
        await connection.connect()
        await connection.subscribe(wanted, 0)
    finally:
        await connection.close()
    limits, state = await _broker(probe, folder)
    detail = f"{len(wanted)} topic filters granted, {_said(state)}"
    if source.role == "primary" and limits.retain is False:
        return "wrong", f"{detail}; the broker retains nothing: nodes that come later do not see the host's STATE"
    return "ok", detail


def _file(source: FileSource, folder: Path) -> tuple[str, str]:
    path = folder / source.path
    return ("ok", f"{path}, {path.stat().st_size} bytes") if path.exists() else ("absent", f"{path} is not there yet")
