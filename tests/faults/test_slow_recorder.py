"""A recorder that stands still, then goes on: what is on its way stays bounded, sources are held up when the spool is full, nothing is lost."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

from tests.faults.test_core_kill import MACHINES, Chain
from tests.support.waiting import eventually

CREDIT = 30_000
ON_THE_WAY = 200_000
"""One partition's credit for each machine, and a put on top of it."""


def test_a_recorder_that_stands_still_holds_up_the_sources_and_loses_nothing(tmp_path: Path) -> None:
    chain = Chain(tmp_path, credit=CREDIT, spool={"segment_bytes": 30_000, "max_bytes": 500_000})
    intake, link = chain.gateway.intake, chain.gateway.link
    done = threading.Event()

    def source() -> None:
        while not done.wait(0.002):
            if intake.has_room():  # as every source does before it takes more
                chain.say(60)

    load = threading.Thread(target=source, daemon=True)
    try:
        chain.start()
        load.start()
        eventually(lambda: link.sent["values"] > 1_000, 30)
        os.kill(chain.store.pid, signal.SIGSTOP)
        before = link.sent["bytes"]
        words = "nothing more is taken until the recorder catches up"
        eventually(lambda: not intake.has_room() and words in "".join(chain.gateway.full[-1:]), 60)
        assert link.sent["bytes"] - before < ON_THE_WAY * len(MACHINES)
        assert chain.gateway.backlog() > 5_000
        stood = dict(chain.said)
        os.kill(chain.store.pid, signal.SIGCONT)
        eventually(lambda: chain.gateway.full[-1] == "" and chain.said["M0"] > stood["M0"] + 300, 60)
        done.set()
        load.join(60)
        assert not load.is_alive()
        chain.check()
    finally:
        done.set()
        chain.stop()
