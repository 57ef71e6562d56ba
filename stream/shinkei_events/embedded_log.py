"""The embedded log: librdkafka's mock cluster, owned by one process, reached over loopback by the ordinary clients.

Real wire protocol, keys, headers and groups; no transactions, no retention, no durability, 5 MiB a partition: in memory, and gone
with its owner. So it has an id of its own, made at each start, and the gateway keeps everything until it is recorded.
The mock has no binding in Python; the wheel's library exports the symbols and this module calls them through ctypes.
"""

from __future__ import annotations

import ctypes
import os
import time
import uuid
from pathlib import Path

import confluent_kafka

from shinkei_events.errors import ShinkeiError
from shinkei_events.runfile import remove_run, write_run
from shinkei_events.topics import TOPICS

_PRODUCER = 0
_SESSION_TIMEOUT_MS = 6_000
_PAUSE_S = 0.005
"""Before each request to the mock's thread: one that comes while the thread is about to sleep is seen only a second later. Measured over 12
starts: 0.84 s on the average and up to 6 s on a busy machine without it, 0.08 s with it."""


def _library() -> ctypes.CDLL:
    package = Path(confluent_kafka.__file__).parent
    places = [package.parent / "confluent_kafka.libs", package / ".dylibs"]
    for place in places:
        for found in sorted(place.glob("librdkafka*")):
            library = ctypes.CDLL(str(found))
            if hasattr(library, "rd_kafka_mock_cluster_new"):
                return library
    raise ShinkeiError(
        f"the Kafka client in {package} has no embedded log; install confluent-kafka's wheel or set log.bootstrap"
    )


class EmbeddedLog:
    """Start the log of one site folder; `stop` ends it and everything in it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._library = _library()
        self._client: int | None = None
        self._cluster: int | None = None
        self.log_id = ""
        self.bootstrap = ""

    def start(self) -> None:
        """Listen on free loopback ports, make the topics, publish address and log id in ``run/log.json``."""
        lib = self._library
        lib.rd_kafka_conf_new.restype = ctypes.c_void_p
        lib.rd_kafka_new.restype = ctypes.c_void_p
        lib.rd_kafka_new.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]
        lib.rd_kafka_mock_cluster_new.restype = ctypes.c_void_p
        lib.rd_kafka_mock_cluster_new.argtypes = [ctypes.c_void_p, ctypes.c_int]
        lib.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
        lib.rd_kafka_mock_cluster_bootstraps.argtypes = [ctypes.c_void_p]
        lib.rd_kafka_mock_topic_create.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_int]
        for name in ("group_initial_rebalance_delay_ms", "set_group_consumer_session_timeout_ms"):
            getattr(lib, f"rd_kafka_mock_{name}").argtypes = [ctypes.c_void_p, ctypes.c_int32]
        why = ctypes.create_string_buffer(256)
        conf = lib.rd_kafka_conf_new()
        lib.rd_kafka_conf_set.argtypes = [
            ctypes.c_void_p,
            ctypes.c_char_p,
            ctypes.c_char_p,
            ctypes.c_char_p,
            ctypes.c_size_t,
        ]
        lib.rd_kafka_conf_set(conf, b"log_level", b"2", why, len(why))
        self._client = lib.rd_kafka_new(_PRODUCER, conf, why, len(why))
        self._cluster = lib.rd_kafka_mock_cluster_new(self._client, 1) if self._client else None
        if not self._client or not self._cluster:
            raise ShinkeiError(f"the embedded log did not start: {why.value.decode(errors='replace') or 'no cluster'}")
        time.sleep(_PAUSE_S)
        lib.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, 0)
        time.sleep(_PAUSE_S)
        lib.rd_kafka_mock_set_group_consumer_session_timeout_ms(self._cluster, _SESSION_TIMEOUT_MS)
        for topic in TOPICS:
            time.sleep(_PAUSE_S)
            problem = lib.rd_kafka_mock_topic_create(self._cluster, topic.name.encode(), topic.partitions, 1)
            if problem:
                raise ShinkeiError(f"the embedded log did not make topic {topic.name}: error {problem}")
        self.bootstrap = lib.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()
        self.log_id = str(uuid.uuid4())
        write_run(
            self._folder, "log", {"part": "log", "pid": os.getpid(), "bootstrap": self.bootstrap, "log_id": self.log_id}
        )

    def stop(self) -> None:
        """End the log; what was only in it is gone."""
        remove_run(self._folder, "log")
        if self._cluster:
            self._library.rd_kafka_mock_cluster_destroy.argtypes = [ctypes.c_void_p]
            self._library.rd_kafka_mock_cluster_destroy(self._cluster)
        if self._client:
            self._library.rd_kafka_destroy.argtypes = [ctypes.c_void_p]
            self._library.rd_kafka_destroy(self._client)
        self._cluster = self._client = None
