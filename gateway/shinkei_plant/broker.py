"""The line's MQTT broker: mosquitto where it is installed, with settings under which an offline subscriber loses nothing, else amqtt.

A child process (mosquitto) or a thread with its own event loop (amqtt, sessions in memory). Loopback, no passwords: for the simulated
line only.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

from shinkei_events.errors import NotConnected

_PLACES = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin")
STARTS_WITHIN_S = 20.0
AGAIN_S = 0.1

MOSQUITTO_CONF = """\
listener {port} {host}
allow_anonymous true
persistence true
persistence_location {folder}/
autosave_on_changes true
autosave_interval 1
max_queued_messages 0
max_inflight_messages 0
max_packet_size 16777216
log_dest none
"""
"""No limit on what waits for an offline session (default 1000, then silently dropped); sessions survive an orderly restart.

Saved at every change, so that a kill -9 of the broker loses at most the message being written. Each save writes everything that waits:
nothing while the gateway is there, some ms a message when thousands wait for it.
"""


def find_mosquitto() -> str | None:
    """The path of mosquitto, also where Debian puts it outside a user's path."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path=os.pathsep.join(_PLACES))


class Broker:
    """Runs a broker on ``host:port`` with its files in ``folder``. Raises `NotConnected` when it does not come up."""

    def __init__(self, host: str, port: int, folder: Path, *, program: str | None = None) -> None:
        self.host, self.port, self._folder = host, port, folder
        self._program = find_mosquitto() if program is None else program
        self._process: subprocess.Popen[bytes] | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._up = threading.Event()

    @property
    def is_mosquitto(self) -> bool:
        """Whether it speaks MQTT 5 and keeps its sessions on disk."""
        return bool(self._program)

    def start(self) -> None:
        """Start and wait until it answers; what ends at once is started again until `STARTS_WITHIN_S` have passed.

        After a kill its port may be taken for a moment: by the connections that the kill left, or by a client's own connection that
        the system gave just this port.
        """
        deadline = time.monotonic() + STARTS_WITHIN_S
        while not self._try(deadline):
            if time.monotonic() > deadline:
                raise NotConnected(f"the MQTT broker did not start on {self.host}:{self.port}; is the port free?")
            time.sleep(AGAIN_S)

    def _try(self, deadline: float) -> bool:
        """One start; False when it ended by itself or did not answer in time (it is gone then)."""
        if self._program:
            self._start_mosquitto(self._program)
        else:
            self._up.clear()
            self._thread = threading.Thread(target=self._run_amqtt, name="broker", daemon=True)
            self._thread.start()
        while self.alive and time.monotonic() < deadline:
            if self._answers():
                return True
            time.sleep(0.02)
        self.stop()
        return False

    def stop(self) -> None:
        """End it and wait for that; twice is fine."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(2)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        if self._thread is not None and self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(2)
            self._thread = None

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        if self._process is not None:
            return self._process.poll() is None
        return self._thread is not None and self._thread.is_alive()

    def _start_mosquitto(self, program: str) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        conf = self._folder / "mosquitto.conf"
        text = MOSQUITTO_CONF.format(port=self.port, host=self.host, folder=self._folder.absolute())
        if os.geteuid() == 0:
            text += "user root\n"
        conf.write_text(text, encoding="utf-8")
        self._process = subprocess.Popen(
            [program, "-c", str(conf)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=_die_with_parent,  # noqa: PLW1509
        )  # fmt: skip

    def _run_amqtt(self) -> None:
        from amqtt.errors import BrokerError

        with contextlib.suppress(OSError, BrokerError):  # the port is taken: `start` tries again
            asyncio.run(self._amqtt())

    async def _amqtt(self) -> None:
        from shinkei_plant.amqtt_broker import Amqtt

        plugins = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}
        config = {"listeners": {"default": {"type": "tcp", "bind": f"{self.host}:{self.port}"}}, "plugins": plugins}
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        broker = Amqtt(config)
        await broker.start()
        self._up.set()
        await self._stop.wait()
        await broker.shutdown()

    def _answers(self) -> bool:
        if self._thread is not None:
            return self._up.is_set()
        try:
            socket.create_connection((self.host, self.port), 0.2).close()
        except OSError:
            return False
        return True


def _die_with_parent() -> None:
    """On Linux the broker ends with the plant even when the plant is killed (PR_SET_PDEATHSIG)."""
    if hasattr(ctypes.CDLL(None), "prctl"):
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)
