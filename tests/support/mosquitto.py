"""A real mosquitto broker for tests: durable settings, stop, kill -9, restart on the same data and port."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from tests.support.ports import free_port, listens
from tests.support.process import Killable, ServerProcess
from tests.support.waiting import eventually

MISSING = "mosquitto is not installed: run tools/install-test-tools mosquitto (or leave the tests out by SHINKEI_TEST_WITHOUT=mosquitto)"
STARTS_WITHIN_S = 20.0
RUNNING = re.compile(r"mosquitto version \S+ running")
TAKEN = "Address already in use"
# Sessions and queued messages are written after each change, nothing is dropped for its number, and no client waits for another.
_SETTINGS = """
listener {port} 127.0.0.1
allow_anonymous true
persistence true
persistence_location {data}/
autosave_on_changes {saves}
autosave_interval {saves_each}
max_queued_messages 0
max_queued_bytes 0
max_inflight_messages 1000
set_tcp_nodelay true
log_type error
log_type warning
log_type notice
log_type information
log_dest stderr
{user}
"""


def program() -> str | None:
    """The broker's program, or None."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


class Mosquitto(Killable):
    """One broker with its data in ``folder``; ``url`` stays the same over restarts. ``more``: further lines of its settings.

    ``saves`` False: only when it ends, for tests that do not kill it. Each save writes all that waits: with thousands of messages
    in a session it takes some 70 a second.
    """

    def __init__(self, folder: Path, more: str = "", *, saves: bool = True) -> None:
        found = program()
        assert found is not None, MISSING
        self._program = found
        self.folder = folder
        self.port = free_port()
        self.url = f"mqtt://127.0.0.1:{self.port}"
        data = folder / "data"
        data.mkdir(parents=True, exist_ok=True)
        # As root the broker would become another user, who may not write here.
        user = "user root" if os.geteuid() == 0 else ""
        self._settings = folder / "mosquitto.conf"
        self._settings.write_text(
            _SETTINGS.format(port=self.port, data=data, user=user, saves=str(saves).lower(), saves_each=int(saves))
            + more
        )

    def start(self) -> None:
        """Start, and return when this very broker accepts connections. Whatever holds its port for a moment is waited for."""
        command = [self._program, "-c", str(self._settings)]

        def is_up() -> bool:
            if self._server is None or not self._server.alive():
                assert self._server is None or TAKEN in self._server.words(), self._server.words()[-3000:]
                self._server = ServerProcess(command, self.folder / "mosquitto.log", cwd=self.folder)
            return RUNNING.search(self._server.words()) is not None and listens(self.port)

        self._server = None
        eventually(is_up, STARTS_WITHIN_S, every=0.02)

    def stop(self) -> None:
        """It ends by itself, its sessions on disk."""
        if self._server is not None:
            self._server.stop(60)

    def restart(self) -> None:
        self.stop()
        self.start()
