"""What the demo decides before anything runs: its file, its ports, whether it makes a past."""

from __future__ import annotations

from hashlib import sha1
from pathlib import Path

import pytest

from shinkei_cli.demo import LIVED, Wishes, first_machine_port, prepare
from shinkei_cli.narrator import Narrator
from shinkei_cli.ports import Ports
from shinkei_cli.words import Words
from shinkei_events.errors import BadConfig
from shinkei_gateway.opcua.certificate import read_identity, thumbprint
from shinkei_gateway.opcua.pki import Pki
from shinkei_plant.nodes import server_uri
from shinkei_plant.sample import ENDPOINTS


def prepared(folder: Path, capsys: pytest.CaptureFixture[str], **wishes: object) -> tuple[dict[str, object], str]:
    with Ports() as ports:
        plant, port = prepare(Wishes(folder, **wishes), ports, Narrator(Words("en")))  # type: ignore[arg-type]
    assert plant.dir == folder
    assert plant.sections["ui"]["port"] == port
    urls = [source["url"] for source in plant.gateway["sources"].values() if "url" in source]
    assert len(set(urls)) == len(urls) - 1 >= 6  # the Sparkplug host and the MQTT source share the broker
    return plant.sections["plant"] | {"past": "past" in plant.gateway["sources"]}, capsys.readouterr().out


def test_a_past_is_made_once_and_only_for_a_line_that_has_not_lived(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found, said = prepared(tmp_path, capsys)
    assert found["past"]
    assert "8 hours" in said
    found, said = prepared(tmp_path, capsys)  # ended before it lived
    assert found["past"]
    (tmp_path / "history.jsonl.zst").touch()
    (tmp_path / LIVED).touch()
    found, said = prepared(tmp_path, capsys, history=False)
    assert found["past"], "what the gateway has not read yet of a past that is there is still read"
    assert "kept" in said
    (tmp_path / "history.jsonl.zst").unlink()
    assert not prepared(tmp_path, capsys)[0]["past"]


def test_wishes_reach_the_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found, _ = prepared(tmp_path, capsys, seed=7, speed=4.0, calm=True, faults=("tool_wear@60",), history=False)
    assert (found["seed"], found["speed"], found["calm"], found["faults"]) == (7, 4.0, True, ["tool_wear@60"])
    assert not found["past"]


def test_wishes_that_cannot_be_met_are_said_before_anything_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for fault in ("nonsense@60", "tool_wear@soon", "tool_wear"):
        with pytest.raises(BadConfig, match=fault):
            prepared(tmp_path, capsys, faults=("chatter@1", fault))
        assert (list(tmp_path.iterdir()), capsys.readouterr().out) == ([], "")
    with pytest.raises(BadConfig, match="speed"):
        prepared(tmp_path, capsys, speed=0.0)


def test_a_plants_own_file_is_not_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "plant.toml").write_text('site.id = "osaka"\n')
    with pytest.raises(BadConfig, match="another folder"):
        prepared(tmp_path, capsys)
    assert (tmp_path / "plant.toml").read_text() == 'site.id = "osaka"\n'


def trusted(folder: Path) -> set[str]:
    lists, unread = Pki(folder, "", "", "").lists()
    assert not unread
    return {thumbprint(one) for one in lists.trusted}


def test_gateway_and_machines_know_each_others_certificates(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found, _ = prepared(tmp_path, capsys)
    machines, own = tmp_path / "machines-pki", tmp_path / "pki" / "own" / "certificate.der"
    assert found["pki"] == str(machines)
    servers = {path.stem: read_identity(path.read_bytes()) for path in (machines / "own").glob("*.pem")}
    assert {one.uri for one in servers.values()} == {server_uri(name) for name in ENDPOINTS if name != "broker"}
    assert len({one.key.private_numbers().p for one in servers.values()}) == 1
    assert trusted(tmp_path / "pki") == {thumbprint(one.certificate) for one in servers.values()}
    gateway = own.read_bytes()
    assert trusted(machines) == {sha1(gateway).hexdigest().upper()}
    assert all(path.stat().st_mode & 0o077 == 0 for path in tmp_path.rglob("*.pem"))

    prepared(tmp_path, capsys)  # the next start: nothing is made again
    assert own.read_bytes() == gateway
    assert {path.stem: read_identity(path.read_bytes()).pem() for path in (machines / "own").glob("*.pem")} == {
        name: one.pem() for name, one in servers.items()
    }


def test_what_is_missing_unreadable_or_near_its_end_is_made_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared(tmp_path, capsys)
    pem = tmp_path / "machines-pki" / "own" / "OP20.pem"
    for spoil in (pem.unlink, lambda: pem.write_text("no key")):
        spoil()
        prepared(tmp_path, capsys)
        assert thumbprint(read_identity(pem.read_bytes()).certificate) in trusted(tmp_path / "pki")
    before = pem.read_bytes()
    monkeypatch.setattr("shinkei_cli.demo_certificates.RENEW_DAYS", 2000.0)
    prepared(tmp_path, capsys)
    assert pem.read_bytes() != before
    assert thumbprint(read_identity(pem.read_bytes()).certificate) in trusted(tmp_path / "pki")


def test_machine_ports_stay_below_those_of_outgoing_connections() -> None:
    assert all(20_000 <= first_machine_port(board) < 32_000 for board in range(1, 65_536, 7))
