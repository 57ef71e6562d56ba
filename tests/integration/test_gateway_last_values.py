"""A machine whose stream waits for the recorder: screens see its last values on ``shinkei.live.v1``, and nobody counts them."""

from __future__ import annotations

import time
from pathlib import Path

from shinkei_events import kafka
from shinkei_events.embedded_log import EmbeddedLog
from shinkei_events.envelope import open_record, seal
from shinkei_events.frames import readings
from shinkei_events.kafka import LogAddress
from shinkei_events.model.frame import Frame
from shinkei_events.model.progress import Progress, Recorded
from shinkei_events.settings import load_plant
from shinkei_events.topics import LIVE, SIGNALS, partition_of
from shinkei_gateway.intake import Reading
from tests.support.core_gateway import CoreGateway
from tests.support.waiting import eventually


def report(log: LogAddress, recorder: str, gateway: CoreGateway) -> None:
    """As the recorder does: everything of M there is now is recorded."""
    stream = gateway.intake.stream("M", "signals")
    recorded = [Recorded(stream, gateway.intake.next_number(stream))]
    progress = Progress(recorder=recorder, log_id=log.log_id, topic=SIGNALS.name, partition=partition_of("M"), position=1, streams=recorded, time=time.time_ns())  # fmt: skip
    sealed = seal(progress, "store/test")
    producer = kafka.producer(log)
    producer.produce(sealed.topic, value=sealed.value, key=sealed.key, headers=[*sealed.headers])
    assert producer.flush(60) == 0


def test_screens_see_the_last_values_of_a_stream_that_is_behind(tmp_path: Path) -> None:
    embedded = EmbeddedLog(tmp_path)
    embedded.start()
    (tmp_path / "plant.toml").write_text('[site]\nid = "test"\n')
    plant = load_plant(tmp_path / "plant.toml", tmp_path)
    gateway = CoreGateway(plant, tmp_path / "spool", credit=1)  # nothing more is sent until something is recorded
    log = LogAddress(embedded.bootstrap, embedded.log_id, embedded=True)
    reader = kafka.plain_consumer(log, "screens")
    shown: list[tuple[float, Frame]] = []
    said = [0]

    def live() -> int:
        said[0] += 1
        now = time.time_ns()
        gateway.say([Reading("M", "a", now, said[0], 0, now), Reading("M", "b", now, -said[0], 0, now)])
        for message in kafka.consume_batch(reader, 100, 0.01):
            event = open_record(message.headers(), message.value()).event  # type: ignore[arg-type]
            shown.append((message.timestamp()[1] / 1000, event))
        return len(shown)

    try:
        kafka.assign_from_beginning(reader, [LIVE.name])
        gateway.start()
        eventually(lambda: live() >= 5, 30, every=0.02)
        sent = dict(gateway.link.sent)
        times = [at for at, _ in shown]
        assert (times[-1] - times[0]) / (len(times) - 1) > 0.3, (
            "half a second apart, but for a machine that stands still"
        )
        newest = [dict((channel, value) for _, channel, _, value, _, _ in readings(frame)) for _, frame in shown]  # noqa: C402
        assert all(values["b"] == -values["a"] for values in newest)
        assert newest[-1]["a"] > said[0] // 2, "of now, not the first that waits"
        assert gateway.backlog() > 2 * said[0] - 10, "nothing of it is recorded"
        assert sent["values"] < said[0], "and nothing counted as sent"
        report(log, plant.store.recorder, gateway)
        at_report = said[0]
        eventually(lambda: live() and gateway.forwarder.on_log_of()["M"][1] > at_report, 30, every=0.02)
    finally:
        reader.close()
        gateway.stop()
        embedded.stop()
