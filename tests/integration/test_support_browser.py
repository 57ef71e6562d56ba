"""The browser shows pages, hears their console and sees their requests."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support.browser import Screen

PAGE = """<!doctype html><title>t</title><h1>神経</h1><p id=n>0</p><img src="/missing.png">
<script>console.log("hello"); console.error("bad thing"); let n = 0; setInterval(() => { document.getElementById("n").textContent = ++n }, 20);
fetch("http://example.invalid/x").catch(() => {}); setTimeout(() => { throw new Error("nobody caught it") }, 1)</script>"""


@pytest.fixture
def site() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path == "/"
            content = PAGE.encode() if found else b"no"
            self.send_response(200 if found else 404)
            self.send_header("content-type", "text/html; charset=utf-8")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *words: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()
    thread.join(60)


def test_a_page_its_console_its_requests_and_its_picture(screen: Screen, site: str, tmp_path: Path) -> None:
    screen.open(site)
    screen.wait_text("神経")
    screen.wait_until("Number(document.getElementById('n').textContent) > 5")
    assert "神経" in screen.text()
    assert "log: hello" in screen.seen.console
    assert any("bad thing" in error for error in screen.seen.errors)
    assert any("nobody caught it" in error for error in screen.seen.errors)
    assert screen.seen.abroad() == ["http://example.invalid/x"]
    assert any(line.endswith("missing.png: 404") for line in screen.seen.failed)
    picture = screen.picture(tmp_path / "a" / "page.png")
    assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_a_page_that_is_not_there_is_an_error(screen: Screen, site: str) -> None:
    with pytest.raises(AssertionError, match="answered 404"):
        screen.open(site + "nowhere")
