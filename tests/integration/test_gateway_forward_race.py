"""The forwarder reads while the writing thread adds: what is not there yet is not missing."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from shinkei_gateway.forward import Forwarder
from shinkei_gateway.intake import Batch, Intake, Reading
from shinkei_gateway.spool.commit import GroupCommit
from shinkei_gateway.spool.disk import FolderDisk
from shinkei_gateway.spool.spool import open_spool


def test_nothing_is_called_missing_while_it_is_being_written(tmp_path: Path) -> None:
    spool, _ = open_spool(FolderDisk(tmp_path), lambda: "00000000-0000-7000-8000-000000000000", segment_bytes=1 << 18)
    commit = GroupCommit(spool)
    intake = Intake(spool, commit, "gw", "0", time.time_ns)
    forwarder = Forwarder(spool, credit=None, frame_age=0)
    done = threading.Event()

    def write() -> None:
        for n in range(600):
            now = time.time_ns()
            future = intake.put(Batch("s", [Reading(f"M{m}", "a", now, float(n), 0, now) for m in range(12)]))
            if n % 3 == 0:
                future.result(60)
        future.result(60)
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    sent: dict[str, int] = {}
    finished = False
    while not finished:
        finished = done.is_set() and forwarder.backlog() == sum(end - 1 for end in sent.values())
        for send in forwarder.poll(time.monotonic_ns()):
            assert send.first == sent.get(str(send.stream), 1)
            sent[str(send.stream)] = send.end
            forwarder.delivered(send.ticket, 0)
        assert forwarder.missing == []
    writer.join()
    commit.stop()
    assert all(end == 601 for name, end in sent.items() if name.endswith("signals"))
