"""A real Apache Kafka node (KRaft, one process) on this machine, for tests: start, stop, kill -9, restart on the same data.

The jars are in ``.cache/kafka/libs`` (``tools/install-test-tools`` puts them there). Started with a small heap and the first compiler
only: ready in some 4 s, about 340 MB. One node serves a whole test session; `KafkaNode.clear` empties it between tests.
"""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import uuid
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.support.ports import free_port
from tests.support.process import Killable, ServerProcess
from tests.support.proxy import Proxy
from tests.support.waiting import eventually

CACHE = Path(__file__).resolve().parents[2] / ".cache" / "kafka"
JAVA_OPTIONS = (
    "-Xmx512m",
    "-Xms128m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Xshare:auto",
    "-Djava.awt.headless=true",
)
READY_WITHIN_S = 180.0
"""3 s on an idle machine; tests share theirs."""
MISSING = "Kafka's jars are not in .cache/kafka/libs or java is not there: run tools/install-test-tools kafka (or leave the tests out by SHINKEI_TEST_WITHOUT=kafka)"
_LOG4J = """
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{ISO8601} %p %m (%c{1})%n
rootLogger.level = WARN
rootLogger.appenderRef.console.ref = console
logger.server.name = kafka.server.KafkaRaftServer
logger.server.level = INFO
"""
_SETTINGS = """
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{broker},FAR://127.0.0.1:{far},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{broker},FAR://127.0.0.1:{near},CONTROLLER://127.0.0.1:{controller}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,FAR:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
log.dirs={data}
num.partitions=4
auto.create.topics.enable=false
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.consumer.session.timeout.ms=6000
group.consumer.min.session.timeout.ms=3000
group.consumer.heartbeat.interval.ms=1000
group.consumer.min.heartbeat.interval.ms=500
broker.session.timeout.ms=5000
broker.heartbeat.interval.ms=500
initial.broker.registration.timeout.ms=30000
controlled.shutdown.enable=true
log.segment.delete.delay.ms=0
file.delete.delay.ms=0
"""


def java() -> str | None:
    """The Java that runs Kafka (JAVA_HOME first), or None."""
    home = os.environ.get("JAVA_HOME")
    if home and (Path(home) / "bin" / "java").exists():
        return str(Path(home) / "bin" / "java")
    return shutil.which("java")


def available() -> bool:
    """Whether a node can be started here."""
    return java() is not None and any((CACHE / "libs").glob("kafka-server-*.jar"))


class KafkaNode(Killable):
    """One node with its data in ``folder``. Ports stay the same over restarts, the cluster id too. Not thread-safe."""

    def __init__(self, folder: Path) -> None:
        assert available(), MISSING
        self.folder = folder
        self._port, self._controller = free_port(), free_port()
        self.bootstrap = f"127.0.0.1:{self._port}"
        self._far, self._near = free_port(), free_port()
        self.cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
        self._format()

    def start(self, timeout: float = READY_WITHIN_S) -> None:
        """Start, and return when it serves: after a kill -9 that takes some seconds more (the old session has to end)."""
        self._server = ServerProcess(
            self._java("kafka.Kafka", str(self._settings)), self.folder / "kafka.log", cwd=self.folder
        )
        self._server.wait_ready(lambda: self._serves(10.0), timeout)

    def stop(self) -> None:
        """Controlled shutdown."""
        if self._server is not None:
            self._server.stop(120)

    def restart(self, timeout: float = READY_WITHIN_S) -> None:
        """Start again on the same data and ports."""
        self.stop()
        self.start(timeout)

    def proxy(self) -> Proxy:
        """A network of its own for some of the clients: bootstrap with its ``address``, and the node keeps them on it."""
        return Proxy(self._far, port=self._near)

    def admin(self) -> AdminClient:
        """Keep it in a variable while its futures are waited for: a dropped client ends them."""
        return AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 2, "socket.timeout.ms": 10_000})

    def topics(self) -> list[str]:
        """Names, without Kafka's own."""
        found = self.admin().list_topics(timeout=60).topics
        return sorted(name for name in found if not name.startswith("__"))

    def clear(self) -> None:
        """Delete all topics and all groups without members."""
        admin = self.admin()
        groups = [group.group_id for group in admin.list_consumer_groups(request_timeout=60).result(60).valid]
        if groups:
            for future in admin.delete_consumer_groups(groups, request_timeout=60).values():
                if error := future.exception(60):
                    assert isinstance(error, KafkaException)
        names = self.topics()
        if names:
            for future in admin.delete_topics(names, operation_timeout=60).values():
                future.result(60)
            eventually(lambda: not self.topics(), 60)

    def _serves(self, timeout: float) -> bool:
        if "Kafka Server started" not in self.words():
            return False
        try:
            return bool(self.admin().list_topics(timeout=timeout).brokers)
        except KafkaException:
            return False

    def _format(self) -> None:
        data = self.folder / "data"
        self.folder.mkdir(parents=True, exist_ok=True)
        self._settings = self.folder / "server.properties"
        self._settings.write_text(
            _SETTINGS.format(broker=self._port, far=self._far, near=self._near, controller=self._controller, data=data)
        )
        (self.folder / "log4j2.properties").write_text(_LOG4J)
        command = self._java(
            "kafka.tools.StorageTool",
            "format",
            "--standalone",
            f"--cluster-id={self.cluster_id}",
            "-c",
            str(self._settings),
        )
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=180, check=False)
        assert done.returncode == 0, f"Kafka's storage could not be formatted:\n{done.stdout}{done.stderr}"

    def _java(self, *words: str) -> list[str]:
        program = java()
        assert program is not None, MISSING
        libs = f"{CACHE / 'libs'}/*"
        return [
            program,
            *JAVA_OPTIONS,
            f"-Dlog4j2.configurationFile={self.folder / 'log4j2.properties'}",
            "-cp",
            libs,
            *words,
        ]
