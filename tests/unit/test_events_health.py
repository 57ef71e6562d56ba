"""What a part says of itself over HTTP: to whoever asks, on loopback, and to nobody who only connects."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from shinkei_cli.health import ask
from shinkei_events import health
from shinkei_events.errors import BadConfig
from shinkei_events.health import Health, split_address
from shinkei_events.runfile import read_run


def has_ipv6() -> bool:
    """Containers often have none."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


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


def test_addresses_of_both_kinds_and_what_is_none() -> None:
    assert split_address("127.0.0.1:9100") == ("127.0.0.1", 9100)
    assert split_address("[::1]:0") == ("::1", 0)
    assert Health("store", Path(), "[::]:9100").address == "[::]:9100"
    for wrong in ("::1:9100", "::", "[::1]", "[::1]:x", "127.0.0.1:70000", "9100"):
        with pytest.raises(BadConfig, match="IPv6"):
            split_address(wrong)


def test_it_answers_on_ipv6_and_on_every_address(tmp_path: Path) -> None:
    offered = (("[::1]:0", ["[::1]"]), ("[::]:0", ["[::1]", "127.0.0.1"])) if has_ipv6() else ()
    for address, asked in offered:
        part = Health("store", tmp_path, address)
        part.start()
        try:
            run = read_run(tmp_path, "store")
            assert run is not None
            port = run["http"].rpartition(":")[2]
            assert run["http"] == f"{address[:-2]}:{port}"
            for host in asked:
                with urllib.request.urlopen(f"http://{host}:{port}/health", timeout=60) as answer:
                    assert json.load(answer)["part"] == "store"
            assert (ask(run["http"], 60) or {}).get("part") == "store"
        finally:
            part.stop()
