"""The demo: a whole plant in one folder, from nothing to a live board, and back to no process at all.

Decides ports, writes the demo's plant.toml (its content is the plant's own sample) and says when the board is live. Starting,
watching and ending are the supervisor's. Called by ``shinkei demo``.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from shinkei_cli.config import FILE
from shinkei_cli.demo_certificates import introduce
from shinkei_cli.exits import DONE, WRONG_USE
from shinkei_cli.folder import AlreadyRunningError, Site
from shinkei_cli.health import ask, opens
from shinkei_cli.narrator import Narrator
from shinkei_cli.part import PARTS
from shinkei_cli.ports import LOOPBACK, Ports
from shinkei_cli.programs import programs_of
from shinkei_cli.supervisor import Supervisor
from shinkei_cli.words import Words
from shinkei_events.errors import BadConfig
from shinkei_events.runfile import read_run, write_atomic
from shinkei_events.settings import PlantFile, load_plant, section

DEFAULT_PORT = 8501
MARK = "# Written by `shinkei demo` at each of its starts, with the ports that were free then.\n"
MACHINES_PKI = "machines-pki"
"""The simulated line's certificates; the gateway's own are in ``pki``."""
LIVED = "demo.lived"
"""A file that says: the line has lived here, a past can no longer be made for it."""
SAY_WAITING_AFTER_S = 25.0
ASK_BOARD_S = 0.2
QUICK = """[gateway.defaults.opcua]
retry = "1s"

[gateway.defaults.mqtt]
retry = "1s"

[detect]
warm_up = 60
"""
"""The demo's machines start together with the gateway, on the same machine: nobody is hurt by asking them often. And they are known
after a minute of running, not two: a visitor stays for some (calm lines of 6 seeds, 12 min each: no anomaly with either)."""
BOARD_NEEDS = ("plant", "gateway", "store", "ui")


@dataclass(frozen=True)
class Wishes:
    """What the visitor asked for. ``port`` None: `DEFAULT_PORT`, or the next free one. ``faults``: ``NAME@SECONDS`` texts."""

    folder: Path
    port: int = DEFAULT_PORT
    language: str = "en"
    seed: int | None = None
    speed: float = 1.0
    calm: bool = False
    faults: tuple[str, ...] = ()
    history: bool = True


def run(wishes: Wishes) -> int:
    """Run the demo until a signal ends it; returns the exit code. Raises `BadConfig` for wishes that cannot be met."""
    words = Words(wishes.language)
    narrator = Narrator(words)
    try:
        with Site(wishes.folder) as site, Ports() as ports:
            began = time.monotonic()
            plant, port = prepare(wishes, ports, narrator)
            url = f"http://{LOOPBACK}:{port}/"
            programs = programs_of(plant, list(PARTS), board_first=True)
            with Supervisor(plant.dir, programs, narrator, (site.lock,)) as supervisor:
                failed = _watch(supervisor, narrator, url, plant.dir, began)
                narrator.say("ending")
    except AlreadyRunningError as error:
        narrator.say("same_folder", folder=error.folder, pid=error.pid)
        return WRONG_USE
    narrator.say("ended")
    return WRONG_USE if failed else DONE


def prepare(wishes: Wishes, ports: Ports, narrator: Narrator) -> tuple[PlantFile, int]:
    """Choose ports, write ``<folder>/plant.toml`` and the certificates; returns the file read, and the board's port.

    Raises `BadConfig` for wishes that cannot be met, before anything is written or said.
    """
    from shinkei_plant.catalog import MACHINE
    from shinkei_plant.faults import SEED, Planned
    from shinkei_plant.sample import ENDPOINTS, plant_toml
    from shinkei_plant.settings import PlantSettings

    for fault in wishes.faults:
        Planned.parse(fault)
    folder = wishes.folder
    _spare_a_plants_own_file(folder / FILE)
    narrator.say("folder", folder=folder)
    past, lived = folder / "history.jsonl.zst", (folder / LIVED).exists()
    with_past = past.exists() or (wishes.history and not lived)
    if lived:
        narrator.say("again")
    elif with_past:
        narrator.say("history")
    port = ports.take(wishes.port)
    if port != wishes.port:
        narrator.say("port_taken", wanted=wishes.port, port=port)
    taken = ports.take_several(len(ENDPOINTS), first_machine_port(port))
    text = plant_toml(
        ports=dict(zip(ENDPOINTS, taken, strict=True)),
        ui_port=port,
        language=wishes.language,
        history=past if with_past else None,
        seed=SEED if wishes.seed is None else wishes.seed,
        speed=wishes.speed,
        calm=wishes.calm,
        faults=wishes.faults,
        pki=folder / MACHINES_PKI,
        extra=QUICK,
    )
    write_atomic(folder / FILE, (MARK + text).encode())
    plant = load_plant(folder / FILE, folder)
    section(plant, "plant", PlantSettings).check()
    introduce(plant, folder / MACHINES_PKI, [name for name in ENDPOINTS if name in MACHINE], datetime.now(UTC))
    return plant, port


def _spare_a_plants_own_file(path: Path) -> None:
    """Raises `BadConfig` rather than write over a plant.toml that is not a demo's."""
    if path.exists() and not path.read_text(encoding="utf-8", errors="replace").startswith(MARK):
        raise BadConfig("--dir", str(path.parent), f"has a {FILE} of its own; choose another folder for the demo")


def first_machine_port(board: int) -> int:
    """Where the machines' ports begin: apart from those of a demo beside this one, and below the ports of outgoing connections."""
    return 20_000 + (board % 500) * 20


def machines_live(folder: Path) -> bool:
    """Whether the line has begun to move: it waits for the gateway, so that nothing is said to nobody."""
    found = read_run(folder, "plant") or {}
    health = ask(found["http"]) if found.get("http") else None
    return health is not None and health.get("details", {}).get("live") is True


def _watch(supervisor: Supervisor, narrator: Narrator, url: str, folder: Path, began: float) -> bool:
    """Supervise to the end; whether it ended because a part cannot run."""
    waiting_said, ask_at = False, 0.0

    def live() -> bool:
        nonlocal waiting_said, ask_at
        now = time.monotonic()
        if not waiting_said and now - began > SAY_WAITING_AFTER_S:
            waiting_said = True
            narrator.waiting([name for name in BOARD_NEEDS if not supervisor.ready(name)], folder / "logs")
        if now < ask_at or not supervisor.ready(*BOARD_NEEDS):
            return False
        ask_at = now + ASK_BOARD_S
        return machines_live(folder) and opens(url)

    supervisor.run(until=lambda: bool(supervisor.given_up()) or live())
    if not supervisor.stopping and not supervisor.given_up():
        (folder / LIVED).touch()
        narrator.say("how_to_end")
        narrator.say("board", url=url)
    supervisor.run(until=lambda: bool(supervisor.given_up()))
    return bool(supervisor.given_up())
