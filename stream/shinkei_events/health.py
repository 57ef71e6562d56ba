"""Each process answers ``GET /health`` (JSON) and ``GET /metrics`` (Prometheus) on a loopback port of its own."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from shinkei_events.errors import BadConfig
from shinkei_events.runfile import remove_run, write_run

REQUEST_WITHIN_S = 10.0
"""Who connects and does not ask is let go: each connection holds a thread."""


def split_address(address: str) -> tuple[str, int]:
    """``127.0.0.1:9100`` or ``[::1]:9100`` as host and port; raises `BadConfig`."""
    host, colon, port = address.rpartition(":")
    is_6 = host.startswith("[") and host.endswith("]")
    if not colon or not port.isdecimal() or int(port) > 65535 or (":" in host and not is_6):
        raise BadConfig("http", address, "expected host:port or [IPv6 address]:port, port 0 for any free one")
    return host[1:-1] if is_6 else host, int(port)


class _Server6(ThreadingHTTPServer):
    """``::`` is every address of this computer, those of IPv4 too, whatever the system's own default is."""

    address_family = socket.AF_INET6

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


class Health:
    """State of one part, served over HTTP from a thread. Thread-safe; `update` is cheap."""

    def __init__(self, part: str, folder: Path, address: str = "127.0.0.1:0") -> None:
        self.part, self._folder = part, folder
        self._host, self._port = split_address(address)
        self._lock = threading.Lock()
        self._state: dict[str, Any] = {
            "part": part,
            "since": time.time(),
            "ready": False,
            "lag": None,
            "last_error": None,
            "details": {},
        }
        self._sources: list[Callable[[], dict[str, Any]]] = []
        self._server: ThreadingHTTPServer | None = None

    def start(self) -> None:
        """Serve, and publish the address in the run file."""
        health = self

        class Handler(BaseHTTPRequestHandler):
            timeout = REQUEST_WITHIN_S

            def do_GET(self) -> None:
                if self.path == "/health":
                    self._answer(200, "application/json", msgspec.json.encode(health.snapshot(), enc_hook=str))
                elif self.path == "/metrics":
                    self._answer(200, CONTENT_TYPE_LATEST, generate_latest())
                else:
                    self._answer(404, "text/plain; charset=utf-8", b"/health or /metrics\n")

            def _answer(self, status: int, kind: str, body: bytes) -> None:
                with contextlib.suppress(ConnectionError):  # whoever asked did not wait for the answer
                    self.send_response(status)
                    self.send_header("Content-Type", kind)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Requests for health are not worth a line."""

        kind = _Server6 if ":" in self._host else ThreadingHTTPServer
        self._server = kind((self._host, self._port), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.2,), name="health", daemon=True).start()
        write_run(
            self._folder,
            self.part,
            {"part": self.part, "pid": os.getpid(), "http": self.address, "started": time.time()},
        )

    @property
    def address(self) -> str:
        """``host:port`` that is really served."""
        host, port = (self._host, self._port) if self._server is None else self._server.server_address[:2]
        name = host if isinstance(host, str) else bytes(host).decode()
        return f"[{name}]:{port}" if ":" in name else f"{name}:{port}"

    def update(
        self, *, ready: bool | None = None, lag: float | None = None, error: str | None = None, **details: Any
    ) -> None:
        """Change what is given; ``error=""`` clears the last error. ``lag`` in seconds or records, as the part documents."""
        with self._lock:
            if ready is not None:
                self._state["ready"] = ready
            if lag is not None:
                self._state["lag"] = lag
            if error is not None:
                self._state["last_error"] = {"text": error, "time": time.time()} if error else None
            self._state["details"] |= details

    def add_source(self, source: Callable[[], dict[str, Any]]) -> None:
        """Further details asked for at each request; must be quick and must not raise."""
        self._sources.append(source)

    def snapshot(self) -> dict[str, Any]:
        """What ``/health`` answers."""
        with self._lock:
            state = self._state | {"details": dict(self._state["details"]), "now": time.time()}
        for source in self._sources:
            state["details"] |= source()
        return state

    def stop(self) -> None:
        """Close the port and remove the run file."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
        remove_run(self._folder, self.part)
