"""Running the simulated line in a test, and a plain OPC UA client that writes down everything it is told."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import urllib.request
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from asyncua import Client, ua

from shinkei_events.runfile import read_run
from shinkei_plant.nodes import uri
from shinkei_plant.run import run_settings
from shinkei_plant.sample import ENDPOINTS
from shinkei_plant.settings import PlantSettings
from tests.support.ports import free_port


def plant_ports() -> dict[str, int]:
    """A free port for each machine and the broker."""
    return {name: free_port() for name in ENDPOINTS}


@contextlib.contextmanager
def running(settings: PlantSettings, folder: Path) -> Iterator[threading.Event]:
    """The plant in a thread; what it raises is raised at the end."""
    stop = threading.Event()
    failed: list[BaseException] = []

    def work() -> None:
        try:
            run_settings(settings, folder, stop)
        except BaseException as error:  # noqa: BLE001  raised again by the caller
            failed.append(error)

    thread = threading.Thread(target=work, name="plant")
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join(60)
        assert not thread.is_alive()
        if failed:
            raise failed[0]


def detail(folder: Path, name: str) -> Any:
    """What the running plant of ``folder`` says about itself (``live``, ``done`` …), None when it does not run or does not say."""
    found = read_run(folder, "plant")
    if found is None:
        return None
    try:
        with urllib.request.urlopen(f"http://{found['http']}/health", timeout=10) as answer:
            return msgspec.json.decode(answer.read())["details"].get(name)
    except OSError:  # it has just begun, ends, or the machine stands still: asked again
        return None


class Told:
    """A subscription handler: ``(source time ns, value, status)`` of each notification, by node."""

    def __init__(self) -> None:
        self.values: dict[str, list[tuple[int, Any, int]]] = {}

    def datachange_notification(self, node: Any, value: Any, data: Any) -> None:
        found = data.monitored_item.Value
        self.values.setdefault(str(node.nodeid.Identifier), []).append(
            (nanoseconds(found.SourceTimestamp), value, found.StatusCode.value)
        )

    async def quiet(self, looks: int = 10) -> None:
        """Return when nothing came between ``looks`` looks, 0.1 s apart: nothing tells a client that nothing more comes."""
        seen, same = -1, 0
        while same < looks:
            await asyncio.sleep(0.1)
            now = sum(map(len, self.values.values()))
            same, seen = (same + 1 if now == seen else 0), now


def nanoseconds(time: datetime) -> int:
    """A datetime of the library as ns UTC, exact to the microsecond."""
    aware = time if time.tzinfo is not None else time.replace(tzinfo=UTC)
    return (aware - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000


@contextlib.asynccontextmanager
async def listening(
    url: str, machine: str, nodes: list[str], queue: int = 10_000
) -> AsyncIterator[tuple[Client, Told]]:
    """A client of the library, told every value of ``nodes`` whose value, status or source time changes."""
    client = Client(url, timeout=60)
    await client.connect()
    try:
        index = await client.get_namespace_index(uri(machine))
        told = Told()
        subscription = await client.create_subscription(50, told)
        changed = ua.DataChangeFilter(ua.DataChangeTrigger.StatusValueTimestamp)
        found = [client.get_node(ua.NodeId(name, index)) for name in nodes]
        reporting = ua.MonitoringMode.Reporting
        await subscription.create_monitored_items(
            subscription._make_monitored_item_request(node, ua.AttributeIds.Value, changed, queue, reporting, 0.0)
            for node in found
        )
        yield client, told
    finally:
        await client.disconnect()
