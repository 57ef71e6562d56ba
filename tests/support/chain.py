"""The whole chain as a plant runs it: every part and groups of machines as processes of their own, on the servers it is given.

`Chain.embedded` brings the embedded log and database, `Chain.on` takes the addresses of real ones. Only addresses differ.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

from shinkei_events.model.operation import Operation
from shinkei_events.settings import PlantFile, load_plant
from shinkei_plant import ledger
from shinkei_plant.catalog import MACHINES
from shinkei_plant.sample import plant_toml
from shinkei_store.embedded import EmbeddedPostgres
from shinkei_store.master import apply
from shinkei_store.pool import connect, database_folder
from shinkei_store.record import read_events
from tests.support.parts import PartProcess
from tests.support.plant import plant_ports
from tests.support.waiting import eventually

GROUPS = (("OP10", "OP20"), ("OP30", "OP40"), ("OP50", "OP60"), ("OP70", "OP80"))


class Chain:
    """``speed``: how much faster the machines live; ``length``: seconds of plant time; ``parts``: what runs beside the machines."""

    def __init__(self, folder: Path, *, speed: float, length: float, faults: Sequence[str] = (), seed: int = 3, log: str = "", dsn: str = "",
                 broker: str = "", parts: Sequence[str] = ("store", "detect", "trace", "alerts"), extra: str = "", wait: float = 600.0) -> None:  # fmt: skip
        self.folder, self.embedded = folder, not log
        addresses = (f'[log]\nbootstrap = "{log}"\n' if log else "") + (f'[store]\ndsn = "{dsn}"\n' if dsn else "")
        ports, start = plant_ports(), datetime.now(UTC).replace(microsecond=0).isoformat()
        self.broker = broker or f"mqtt://127.0.0.1:{ports['broker']}"
        self.config = folder / "plant.toml"
        self.config.write_text(
            plant_toml(
                ports=ports,
                broker=broker,
                calm=True,
                faults=faults,
                seed=seed,
                speed=speed,
                language="en",
                extra=addresses + extra,
            )
        )
        self.plant: PlantFile = load_plant(self.config, folder)
        self.database = None if dsn else EmbeddedPostgres(database_folder(self.plant))
        names = (["log"] if self.embedded else []) + list(parts)
        self.parts = {name: PartProcess(name, self.config, folder) for name in names}
        self.gateway = PartProcess("gateway", self.config, folder)
        self.machines = [self._machines(n, ports, start, speed, length, faults, seed, wait) for n in range(len(GROUPS))]

    def _machines(
        self,
        n: int,
        ports: dict[str, int],
        start: str,
        speed: float,
        length: float,
        faults: Sequence[str],
        seed: int,
        wait: float,
    ) -> PartProcess:
        name = f"machines{n}"
        keys: dict[str, Any] = {
            "machines": list(GROUPS[n]), "name": name, "start": start, "length": f"{length:g}s", "wait": f"{wait:g}s",
            "ledger": str(self.folder / f"{name}.ledger"), "truth": str(self.folder / f"{name}.truth"),
        }  # fmt: skip
        config = self.folder / f"{name}.toml"
        broker = self.broker if n != 1 or not self._starts_broker(ports) else ""
        config.write_text(
            plant_toml(
                ports=ports, broker=broker, calm=True, faults=faults, seed=seed, speed=speed, language="en", plant=keys
            )
        )
        return PartProcess(
            name, config, self.folder, words=("plant", "run", "--config", str(config), "--dir", str(self.folder))
        )

    def _starts_broker(self, ports: dict[str, int]) -> bool:
        return self.broker.endswith(f":{ports['broker']}")

    def start(self) -> None:
        """Servers, parts, gateway, then the machines."""
        if self.database is not None:
            self.database.start()
        for name, part in self.parts.items():
            part.start(60)
            if name == "store":
                apply(self.plant)
        self.gateway.start(60, ready=False)
        for machines in self.machines[1:2] + self.machines[:1] + self.machines[2:]:
            machines.start(60, ready=False)

    def played(self, timeout: float) -> None:
        """Wait until the machines have lived their length and everything they said is recorded."""
        eventually(
            lambda: all(((m.health() or {}).get("details") or {}).get("done") for m in self.machines),
            timeout,
            every=0.5,
        )
        self.settled()

    def arrived(self) -> None:
        """Wait until as many values and operations are on record as the machines said. Which are missing in the end is for the test to say."""
        values, operations = told(self.folder)
        wanted = sum(map(len, values.values())), sum(map(len, operations.values()))

        def so() -> bool:
            sql = """select (select count(*) from reading r join stream t on t.id = r.stream_id where t.kind = 'signals'),
                (select count(*) from event_raw where type = %s)"""
            ((kept, done),) = self.ask(sql, "shinkei.operation.v1")
            return bool(kept >= wanted[0] and done >= wanted[1])

        with contextlib.suppress(AssertionError):
            eventually(so, 30, every=0.5)
        self.settled()

    def settled(self, timeout: float = 120.0) -> None:
        """The numbers of the record stand still: they do on a busy machine too, for a while (`arrived` knows what must come)."""
        last: list[Any] = [None, 0]

        def still() -> bool:
            with connect(self.plant, "ui") as conn:
                now = conn.execute(
                    "select (select sum(next_number) from v_recorded), (select max(number) from event_raw), (select number from trace_position)"
                ).fetchone()
            last[1] = last[1] + 1 if now == last[0] and now is not None and now[1] == now[2] else 0
            last[0] = now
            return bool(last[1] >= 6)

        eventually(still, timeout, every=0.5)

    def ask(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Rows, with the screens' rights."""
        with connect(self.plant, "ui") as conn:
            return conn.execute(sql, values).fetchall()

    def events(self, machine: str) -> list[Any]:
        """The machine's production events as recorded, in order."""
        with connect(self.plant, "ui") as conn:
            return [
                event
                for stream in streams(conn, machine, "production")
                for _, event in read_events(conn, stream, 1, 1_000_000)
            ]

    def stop(self) -> None:
        """End everything."""
        for part in [*self.machines, self.gateway, *reversed(self.parts.values())]:
            if part.alive():
                part.kill()
        if self.database is not None:
            self.database.stop()


def streams(conn: psycopg.Connection[Any], machine: str, kind: str) -> list[Any]:
    """Streams of a machine, oldest epoch first."""
    from shinkei_events.identity import StreamId

    rows = conn.execute(
        "select epoch, machine, kind from stream where machine = %s and kind = %s order by id", (machine, kind)
    ).fetchall()
    return [StreamId(str(epoch), name, of) for epoch, name, of in rows]


def told(folder: Path) -> tuple[dict[tuple[str, str], list[tuple[int, Any, int]]], dict[str, list[dict[str, Any]]]]:
    """The machines' own ledgers: values by machine and signal, operations by machine; both in the order said."""
    values: dict[tuple[str, str], list[tuple[int, Any, int]]] = defaultdict(list)
    operations: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for path in sorted(folder.glob("*.ledger")):
        for line in ledger.read(path):
            if "signal" in line:
                values[line["m"], line["signal"]].append((line["t"] // 100 * 100, line["v"], line.get("s", 0)))
            elif "operation" in line:
                operations[line["m"]].append(line["operation"])
    return values, operations


def recorded(chain: Chain) -> tuple[dict[tuple[str, str], list[tuple[int, Any, int]]], dict[str, list[Operation]]]:
    """The same from the database, in the order of the numbers."""
    values: dict[tuple[str, str], list[tuple[int, Any, int]]] = defaultdict(list)
    sql = """select s.machine, s.name, r.t_ns, r.value, r.status from reading r join signal s on s.id = r.signal_id
        join stream t on t.id = r.stream_id where t.kind = 'signals' order by r.stream_id, r.number"""
    for machine, name, time, value, status in chain.ask(sql):
        values[machine, name].append((time, value, status))
    operations = {m.name: [e for e in chain.events(m.name) if isinstance(e, Operation)] for m in MACHINES}
    return values, operations
