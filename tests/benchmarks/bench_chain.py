"""``chain.embedded.values_per_s`` and ``chain.kafka.values_per_s``: OPC UA machines → gateway → log → recorder, detector, lineage, alarms.

Machines play made recordings (50 signals at 10 Hz each, source time = the moment of writing) for a minute at rising rates, in state EXECUTE, so
that the detector judges every value; a rate counts when every value said is recorded exactly once, the record is never more than three seconds behind at the end, and the
machines kept to their minute (``offered_s``: when the last of them had said everything). The machines' own CPU is said apart: it is not ours.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import psutil

from shinkei_events.settings import load_plant
from shinkei_plant.nodes import uri
from shinkei_store.embedded import EmbeddedPostgres
from shinkei_store.pool import connect, database_folder
from tests.support.kafka import KafkaNode
from tests.support.parts import PartProcess
from tests.support.ports import free_port
from tests.support.waiting import eventually

SIGNALS, HERTZ, SECONDS = 50, 10, 60
MACHINES = (6, 12, 20)
BEHIND_S = 3.0
QUIET_S = 20.0
PARTS = ("store", "detect", "trace", "alerts", "gateway")


def main() -> None:
    """Print one JSON object a line."""
    for name, kafka in (("chain.embedded.values_per_s", False), ("chain.kafka.values_per_s", True)):
        best, told = 0.0, {}
        for machines in MACHINES:
            with ExitStack() as stack:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="shinkei-chain-")))
                found = Run(folder, machines, kafka, stack).measure()
            print(json.dumps(found), file=sys.stderr, flush=True)
            if not found["kept_up"]:
                break
            best, told = found["values_per_s"], found
        print(json.dumps(_sheet(name, best, told)), flush=True)


def _sheet(name: str, value: float, told: dict[str, Any]) -> dict[str, Any]:
    conditions = {
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "seconds": SECONDS,
        "load_before": os.getloadavg()[0],
        **told,
    }
    return {
        "name": name,
        "value": round(value),
        "unit": "values/s",
        "better": "more",
        "must": 3000,
        "aim": 10_000,
        "conditions": conditions,
    }


class Run:
    """One minute with so many machines."""

    def __init__(self, folder: Path, machines: int, kafka: bool, stack: ExitStack) -> None:
        self.folder, self.names = folder, [f"M{n:02d}" for n in range(machines)]
        log = ""
        if kafka:
            node = KafkaNode(folder / "kafka")
            stack.callback(node.kill)
            node.start()
            log = f'[log]\nbootstrap = "{node.bootstrap}"\n'
        recording = folder / "made.csv"
        recording.write_text(_recording())
        ports = {name: free_port() for name in self.names}
        config = folder / "plant.toml"
        config.write_text(_config(self.names, ports, log))
        self.plant = load_plant(config, folder)
        self.database = EmbeddedPostgres(database_folder(self.plant))
        self.database.start()
        stack.callback(self.database.stop)
        names = (*([] if kafka else ["log"]), *PARTS)
        self.parts = [PartProcess(part, config, folder) for part in names]
        self.machines = [self._machines(half, ports, recording) for half in (self.names[::2], self.names[1::2])]
        for process in [*self.parts, *self.machines]:
            stack.callback(_end, process)

    def _machines(self, names: list[str], ports: dict[str, int], recording: Path) -> PartProcess:
        played = [
            f'{{ file = {json.dumps(str(recording))}, machine = "{name}", port = {ports[name]}, speed = {HERTZ}, times = "played" }}'
            for name in names
        ]
        config = self.folder / f"machines-{names[0]}.toml"
        own = f"machines-{names[0]}"
        config.write_text(
            f'[site]\nid = "bench"\n[plant]\nline = false\nname = "{own}"\nrecordings = [ {", ".join(played)} ]\n'
        )
        return PartProcess(
            own, config, self.folder, words=("plant", "run", "--config", str(config), "--dir", str(self.folder))
        )

    def measure(self) -> dict[str, Any]:
        """Play the minute; what was recorded, how far behind it was at the end, and who used the CPU."""
        for machine in self.machines:
            machine.start(60, ready=False)
        for part in self.parts:
            part.start(60, ready=part.part != "gateway")
        wanted = len(self.names) * SIGNALS * HERTZ * SECONDS
        eventually(lambda: self._recorded() > 0, 60, every=0.2)
        began, cpu = time.monotonic(), self._cpu()
        eventually(lambda: time.monotonic() - began > SECONDS - 10, SECONDS + 30, every=0.5)
        behind = self._behind()
        offered = self._offered(began)
        recorded = self._settled(wanted)
        took = time.monotonic() - began
        gaps = self._gaps()
        assert recorded == wanted or (recorded < wanted and gaps), (
            f"{recorded} of {wanted} values and {gaps} gap records"
        )
        used = {name: round(seconds - cpu[name], 1) for name, seconds in self._cpu().items()}
        machines = sum(seconds for name, seconds in used.items() if name.startswith("machines"))
        kept_up = recorded == wanted and behind < BEHIND_S and took < SECONDS + 2 * BEHIND_S
        return {
            "values_per_s": wanted / took, "machines": len(self.names), "signals": SIGNALS, "hertz": HERTZ, "behind_s": round(behind, 2), "kept_up": kept_up,
            "offered_s": round(offered, 1), "missing": wanted - recorded, "gap_records": gaps,
            "cpu_s": {name: seconds for name, seconds in used.items() if not name.startswith("machines")}, "machines_cpu_s": round(machines, 1),
        }  # fmt: skip

    def _offered(self, began: float) -> float:
        """Wait until every machine has said everything; how long after ``began`` that was, s. Simulated machines may be the slow ones."""
        done: dict[str, bool] = {}

        def all_done() -> bool:
            for process in self.machines:
                told = (process.health() or {}).get("details", {}).get("recordings", {})
                done.update({name: one.get("done", False) for name, one in told.items()})
            return sum(done.values()) == len(self.names)

        eventually(all_done, SECONDS, every=0.5)
        return time.monotonic() - began

    def _settled(self, wanted: int) -> int:
        """Values on record when all are, or when nothing more comes: then the servers' queues overflowed, and gap records say so."""
        newest, since = -1, time.monotonic()
        while newest < wanted and time.monotonic() - since < QUIET_S:
            if (recorded := self._recorded()) != newest:
                newest, since = recorded, time.monotonic()
            time.sleep(0.2)
        return newest

    def _gaps(self) -> int:
        with connect(self.plant, "ui") as conn:
            row = conn.execute("select count(*) from v_gap").fetchone()
        return int(row[0]) if row else 0

    def _recorded(self) -> int:
        with connect(self.plant, "ui") as conn:
            row = conn.execute(
                "select coalesce(sum(next_number - 1), 0) from v_recorded where kind = 'signals'"
            ).fetchone()
        return int(row[0]) if row else 0

    def _behind(self) -> float:
        """Seconds between now and the oldest of the machines' newest recorded values."""
        with connect(self.plant, "ui") as conn:
            row = conn.execute(
                "select min(newest) from (select s.machine, max(l.t_ns) as newest from last_value l join signal s on s.id = l.signal_id group by 1) n"
            ).fetchone()
        return time.time() - int(row[0]) / 1e9 if row and row[0] else float("inf")

    def _cpu(self) -> dict[str, float]:
        """CPU seconds so far by process; the database with its children."""
        found = {process.part: _seconds(process.pid) for process in [*self.parts, *self.machines]}
        assert self.database.pid is not None
        server = psutil.Process(self.database.pid)
        children = 0.0
        for each in server.children(recursive=True):
            with suppress(psutil.NoSuchProcess):  # a worker of PostgreSQL's own (autovacuum) has ended meanwhile
                children += _seconds(each.pid)
        found["database"] = _seconds(server.pid) + children
        return found


def _end(process: PartProcess) -> None:
    if process.alive():
        process.kill()


def _seconds(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def _recording() -> str:
    rows = [";".join(["datetime", *[f"s{n}" for n in range(SIGNALS)]])]
    for row in range(HERTZ * SECONDS):
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(1_700_000_000 + row))
        rows.append(";".join([stamp, *[f"{40 + n + (row * (n + 7) % 13) / 10:.3f}" for n in range(SIGNALS)]]))
    return "\n".join(rows) + "\n"


def _config(names: list[str], ports: dict[str, int], log: str) -> str:
    lines = ['[site]\nid = "bench"', log, '[gateway]\nid = "gw"']
    for name in names:
        signals = ", ".join(f'{{ name = "s{n}", node = "nsu={uri(name)};s=Signals.s{n}" }}' for n in range(SIGNALS))
        lines.append(
            f'[gateway.sources.{name}]\ntype = "opcua"\nurl = "opc.tcp://127.0.0.1:{ports[name]}/"\nmachine = "{name}"\nsecurity = "none"\n'
            f"sampling = \"50ms\"\nstate = {{ node = \"nsu={uri(name)};s=State\" }}\nsignals = [ {signals} ]"
        )  # fmt: skip
    lines += [f'[[machines]]\nname = "{name}"\npath = "bench/area/line/{name}"' for name in names]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
