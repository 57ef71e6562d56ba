"""What every test has: the seed of the run, the tiers left out by name, real servers on demand, and a report for the runner.

The fixtures start real servers once a session and empty them per test. A server that is not installed makes its tests fail with the
line to type; leaving them out is possible only by name, ``SHINKEI_TEST_WITHOUT=browser,kafka``, and is counted.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, core, settings

from tests.support.seed import seed_of_run
from tests.support.sizes import CHOSEN, Sizes

if TYPE_CHECKING:
    from tests.support.browser import Chromium, Screen
    from tests.support.kafka import KafkaNode
    from tests.support.mosquitto import Mosquitto
    from tests.support.postgres import DebianPostgres, EmbeddedServer
    from tests.support.proxy import Proxy

NEEDS = {
    "kafka": ("kafka", "kafka_node", "new_kafka"),
    "postgres": ("postgres", "postgres_server"),
    "mosquitto": ("mosquitto", "mosquitto_server"),
    "browser": ("chromium", "screen"),
    "skab": ("skab",),
    "tahu": (),
    "milo": (),
}
"""What can be left out by name, and the fixtures by which a test shows that it needs it (or ``@pytest.mark.needs("kafka")``)."""
SKAB_DEFAULT = Path(__file__).resolve().parents[2] / "shared" / "data" / "skab"
SEED = seed_of_run()
_counts: Counter[str] = Counter()
_left_out: Counter[str] = Counter()
_skips: list[str] = []
_began = time.monotonic()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(*names): needs real servers or data: " + ", ".join(NEEDS))
    config.addinivalue_line("markers", "long: takes minutes; run by `make faults` and `make drill`, not by `make test`")
    # The machine is shared and slow by turns: a deadline per example would test the neighbours.
    settings.register_profile(
        "shinkei", deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
    )
    settings.load_profile("shinkei")
    setattr(core, "global_force_seed", SEED)  # noqa: B010 - typed by its first value, None
    unknown = _without() - set(NEEDS)
    if unknown:
        raise pytest.UsageError(
            f"SHINKEI_TEST_WITHOUT names {', '.join(sorted(unknown))}; it can leave out {', '.join(NEEDS)}"
        )


def pytest_report_header() -> str:
    return f"seed: {SEED} (SHINKEI_SEED={SEED} repeats this run); size: {Sizes.from_environment().name}"


def _without() -> set[str]:
    return {name.strip() for name in os.environ.get("SHINKEI_TEST_WITHOUT", "").split(",") if name.strip()}


def needs_of(item: pytest.Item) -> set[str]:
    """The servers and data that a test needs, by its fixtures and its marks."""
    fixtures = set(getattr(item, "fixturenames", ()))
    found = {name for name, by in NEEDS.items() if fixtures & set(by)}
    for mark in item.iter_markers("needs"):
        unknown = set(mark.args) - set(NEEDS)
        if unknown:
            raise pytest.UsageError(f"{item.nodeid}: needs {sorted(unknown)}; known are {', '.join(NEEDS)}")
        found |= set(mark.args)
    return found


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    without, kept, gone = _without(), [], []
    keep_long = os.environ.get("SHINKEI_TEST_LONG") == "1" or any("::" in word for word in config.args)
    for item in items:
        names = sorted(needs_of(item) & without)
        if not keep_long and item.get_closest_marker("long"):
            names.append("long")
        if names:
            gone.append(item)
            _left_out[names[0]] += 1
        else:
            kept.append(item)
    if gone:
        config.hook.pytest_deselected(items=gone)
        items[:] = kept


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.failed:
        _counts["failed"] += 1
    elif report.skipped:
        _counts["skipped"] += 1
        _skips.append(
            f"{report.nodeid}: {report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr}"
        )
    elif report.when == "call":
        _counts["passed"] += 1


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.failed:
        _counts["failed"] += 1


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for line in dict.fromkeys(CHOSEN):
        terminalreporter.write_line(f"size: {line}")
    for name, count in sorted(_left_out.items()):
        terminalreporter.write_line(f"left out: {count} tests by {name!r}")


def pytest_sessionfinish() -> None:
    """Tell the runner, when there is one, what happened."""
    target = os.environ.get("SHINKEI_TEST_REPORT")
    if target:
        report = {"counts": _counts, "left_out": _left_out, "skips": _skips, "seconds": time.monotonic() - _began}
        Path(target).write_text(json.dumps(report))


@pytest.fixture(scope="session")
def seed() -> int:
    """The seed of this run, from the commit; ``SHINKEI_SEED`` overrides it."""
    return SEED


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> random.Random:
    """Random numbers of this test: the same for the same seed, whichever tests run beside it."""
    return random.Random(f"{SEED}/{request.node.nodeid}")


@pytest.fixture(scope="session")
def sizes() -> Sizes:
    """How much of the long things this run does (`tests.support.sizes`)."""
    return Sizes.from_environment()


@pytest.fixture(scope="session")
def kafka_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaNode]:
    """One real Kafka node for the session. Ask for ``kafka``, which empties it."""
    from tests.support.kafka import KafkaNode

    node = KafkaNode(tmp_path_factory.mktemp("kafka"))
    try:
        node.start()
        yield node
    finally:
        node.kill()


@pytest.fixture
def kafka(kafka_node: KafkaNode) -> Iterator[KafkaNode]:
    """The session's Kafka node: running, without topics, groups or positions. A test may stop, kill and freeze it."""
    if not kafka_node.alive():
        kafka_node.start()
    yield kafka_node
    if not kafka_node.alive():
        kafka_node.start()
    kafka_node.clear()


@pytest.fixture
def new_kafka(tmp_path: Path) -> Iterator[Callable[[], KafkaNode]]:
    """Makes further Kafka nodes, each with a cluster id of its own (a second site; a log that came back empty)."""
    from tests.support.kafka import KafkaNode

    with ExitStack() as nodes:

        def make() -> KafkaNode:
            node = KafkaNode(tmp_path / f"kafka-{time.monotonic_ns()}")
            nodes.callback(node.kill)
            node.start()
            return node

        yield make


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DebianPostgres]:
    """The distribution's PostgreSQL for the session. Ask for ``postgres``, a database of one's own on it."""
    from tests.support.postgres import DebianPostgres

    server = DebianPostgres(tmp_path_factory.mktemp("postgres"))
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture
def postgres(postgres_server: DebianPostgres) -> str:
    """DSN (superuser) of an empty database on the distribution's server."""
    if not postgres_server.alive():
        postgres_server.start()
    return postgres_server.new_database()


@pytest.fixture(scope="session")
def embedded_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """The embedded PostgreSQL for the session. Ask for ``embedded_postgres``, a database of one's own on it."""
    from tests.support.postgres import EmbeddedServer

    server = EmbeddedServer(tmp_path_factory.mktemp("embedded"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def embedded_postgres(embedded_server: EmbeddedServer) -> str:
    """DSN (superuser) of an empty database on the embedded server."""
    return embedded_server.new_database()


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    """A mosquitto broker of this test's own (it starts in 30 ms)."""
    from tests.support.mosquitto import Mosquitto

    broker = Mosquitto(tmp_path / "mosquitto")
    try:
        broker.start()
        yield broker
    finally:
        broker.kill()


@pytest.fixture
def chromium() -> Iterator[Chromium]:
    """A headless Chromium for this test (2 s); ask for ``screen`` when one page will do.

    Not for the session: its driver keeps an event loop running in this thread, and `asyncio.run` of other tests would refuse to start.
    """
    from tests.support.browser import chromium as start

    with start() as browser:
        yield browser


@pytest.fixture
def screen(chromium: Chromium) -> Iterator[Screen]:
    """A page in a profile of its own, 1920 by 1080."""
    made = chromium.screen()
    yield made
    made.close()


@pytest.fixture
def proxy_to() -> Iterator[Callable[[int], Proxy]]:
    """Makes proxies to a loopback port; they end with the test."""
    from tests.support.proxy import Proxy

    with ExitStack() as proxies:
        yield lambda port: proxies.enter_context(Proxy(port))


@pytest.fixture(scope="session")
def skab() -> Path:
    """The folder with the recordings of a pump test bed (SKAB): SHINKEI_SKAB_DIR, else beside the checkout."""
    folder = Path(os.environ.get("SHINKEI_SKAB_DIR") or SKAB_DEFAULT)
    assert folder.is_dir(), (
        f"no SKAB recordings in {folder}: set SHINKEI_SKAB_DIR, or leave these tests out by SHINKEI_TEST_WITHOUT=skab"
    )
    return folder
