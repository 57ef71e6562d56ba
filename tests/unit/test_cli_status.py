"""What `shinkei status` makes of run files and answers."""

from __future__ import annotations

import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from shinkei_cli.health import answers_ready, ask, opens
from shinkei_cli.status import everything_ready, rows
from shinkei_events.runfile import write_run


def test_one_row_a_part_with_its_restarts_and_last_error(tmp_path: Path) -> None:
    me = os.getpid()
    write_run(
        tmp_path,
        "supervisor",
        {
            "part": "supervisor",
            "pid": me,
            "parts": {"gateway": {"pid": me, "restarts": 2}, "ui": {"pid": None, "restarts": 0}},
        },
    )
    write_run(tmp_path, "gateway", {"part": "gateway", "pid": me, "http": "127.0.0.1:9", "started": 0})
    write_run(tmp_path, "log", {"part": "log", "pid": me, "bootstrap": "127.0.0.1:1", "log_id": "x"})
    answers = {
        "127.0.0.1:9": {"ready": True, "lag": 0.5, "since": 60, "last_error": {"text": "OP20 was away", "time": 1}}
    }
    found = {row["part"]: row for row in rows(tmp_path, answers.get)}
    assert set(found) == {"gateway", "log", "ui"}
    assert (found["gateway"]["restarts"], found["gateway"]["lag"], found["gateway"]["error"]) == (
        2,
        0.5,
        "OP20 was away",
    )
    assert found["log"]["state"] == "runs"
    assert found["log"]["ready"]
    assert found["ui"]["state"] == "gone"
    assert not everything_ready(list(found.values()))


def test_silent_and_gone_are_told_apart(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    write_run(tmp_path, "store", {"part": "store", "pid": os.getpid(), "http": "127.0.0.1:9", "started": 0})
    write_run(tmp_path, "trace", {"part": "trace", "pid": ended.pid, "http": "127.0.0.1:9", "started": 0})
    assert [(row["part"], row["state"]) for row in rows(tmp_path, lambda address: None)] == [
        ("store", "silent"),
        ("trace", "gone"),
    ]


def test_nothing_at_all_is_not_ready(tmp_path: Path) -> None:
    assert not everything_ready(rows(tmp_path))


@pytest.fixture
def server() -> Iterator[tuple[dict[str, tuple[int, bytes]], str]]:
    pages: dict[str, tuple[int, bytes]] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            code, body = pages.get(self.path, (404, b""))
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        yield pages, f"127.0.0.1:{running.server_address[1]}"
        running.shutdown()


def test_asking_never_raises(server: tuple[dict[str, tuple[int, bytes]], str]) -> None:
    pages, address = server
    assert ask(address) is None
    pages["/health"] = (200, b"no json")
    assert ask(address) is None
    pages["/health"] = (200, b'{"ready": false}')
    assert ask(address) == {"ready": False}
    assert not answers_ready(address)
    pages["/health"] = (200, b'{"ready": true}')
    assert answers_ready(address)
    pages["/health"] = (503, b'{"ready": true}')
    assert not answers_ready(address)
    assert ask("127.0.0.1:1") is None
    assert ask("nonsense") is None
    pages["/"] = (200, b"hello")
    assert opens(f"http://{address}/")
    assert not opens(f"http://{address}/none")
    assert not opens("http://127.0.0.1:1/")
