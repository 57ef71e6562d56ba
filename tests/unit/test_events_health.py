"""What a part says of itself over HTTP: to whoever asks, on loopback, and to nobody who only connects."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from shinkei_events import health
from shinkei_events.health import Health
from shinkei_events.runfile import read_run


@pytest.fixture
def part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Health:
    monkeypatch.setattr(health, "REQUEST_WITHIN_S", 0.2)
    return Health("store", tmp_path)


def test_who_connects_and_does_not_ask_is_let_go(part: Health, tmp_path: Path) -> None:
    part.start()
    try:
        run = read_run(tmp_path, "store")
        assert run is not None
        host, _, port = run["http"].rpartition(":")
        assert host == "127.0.0.1"
        with socket.create_connection((host, int(port)), timeout=60) as silent:
            with urllib.request.urlopen(f"http://{run['http']}/health", timeout=60) as answer:
                assert json.load(answer)["part"] == "store", "a silent neighbour holds nobody up"
            assert silent.recv(1) == b"", "closed"
    finally:
        part.stop()
    assert read_run(tmp_path, "store") is None


def test_anything_else_is_not_there(part: Health) -> None:
    part.start()
    try:
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"http://{part.address}/../plant.toml", timeout=60)
    finally:
        part.stop()
