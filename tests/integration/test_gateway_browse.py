"""`shinkei gateway browse` at a real server: the tree, a plant.toml part that works, what changed; nothing in a pipe but the answer."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import subprocess
import tomllib
from pathlib import Path

import pytest
from asyncua import ua

from shinkei_gateway.opcua import browse as module
from shinkei_gateway.opcua.browse import browse
from shinkei_gateway.opcua.session import Session
from shinkei_gateway.opcua.settings import OpcuaSource
from shinkei_gateway.settings import GatewaySettings, sources_of
from tests.support.machinery_server import URI, MachineryServer, refuse
from tests.support.parts import environment, shinkei
from tests.support.ports import free_port


def command(*words: str) -> tuple[int, str, str]:
    found = subprocess.run(
        shinkei("gateway", *words), capture_output=True, text=True, timeout=600, env=environment(), check=False
    )
    return found.returncode, found.stdout, found.stderr


def test_from_the_server_to_a_plant_toml_and_what_changed_since(tmp_path: Path) -> None:
    with MachineryServer() as machine:
        where = ("browse", machine.url, "--security", "none")
        part, listing = tmp_path / "plant.toml", tmp_path / "before.json"
        code, text, told = command(*where, "--write", str(part), "--format", "json")
        assert code == 0
        assert "1 machines, 12 signals" in told
        listing.write_text(text)
        (described,) = [row for row in json.loads(text) if row["path"] == "Press.F0.V0"]
        assert (described["unit"], described["unece"], described["low"], described["high"]) == ("°C", "CEL", 0.0, 8.5)

        kept = tmp_path / "part.toml"
        kept.write_text(f"{part.read_text()}# a person's word\n")

        def write_again(*more: str) -> tuple[int, str, str, bool]:
            said = command(*where, "--write", str(kept), *more, "--format", "csv")
            return *said, "a person's word" in kept.read_text()

        code, text, told, is_left = write_again()
        assert (code, text, "was left as it is" in told, is_left) == (0, "change,name,was,now,node\n", True, True), told

        written = part.read_text()
        (press,) = sources_of(GatewaySettings(id="g", sources=tomllib.loads(written)["gateway"]["sources"])).values()
        assert isinstance(press, OpcuaSource)
        assert [s.node for s in press.signals][:2] == [f"nsu={URI};s=F0.V0", f"nsu={URI};s=F0.V1"]
        assert press.state is not None
        part.write_text(f'[site]\nid = "t"\n[gateway]\nid = "gw"\n{written}')
        config = ("--config", str(part))
        code, text, _ = command("check", *config, "--format", "json")
        (row,) = json.loads(text)
        assert (code, row["state"], row["detail"]) == (0, "ok", "13 of 13 nodes, 13 with a good value"), row

        assert command("browse", "Press", *config, "--against", str(part), "--format", "json")[:2] == (0, "[]\n")
        assert command(*where, "--against", str(listing), "--format", "json")[:2] == (0, "[]\n")

        async def change() -> None:
            server = machine.server
            await server.delete_nodes([server.get_node(ua.NodeId("F1.V1", machine.index))])
            folder = server.get_node(ua.NodeId("F1", machine.index))
            await machine.variable(folder, "F1.New", "New", 7)

        machine.call(change())
        code, text, _ = command("browse", "Press", *config, "--against", str(part), "--format", "csv")
        assert code == 1
        changes = [("new", "F1.New"), ("gone", "F1.V1")]
        assert [(r["change"], r["name"]) for r in csv.DictReader(io.StringIO(text))] == changes
        code, text, _, is_left = write_again()
        assert (code, is_left) == (1, True)
        assert [(r["change"], r["name"]) for r in csv.DictReader(io.StringIO(text))] == changes
        code, _, _, is_left = write_again("--force")
        assert (code, is_left, "F1.New" in kept.read_text()) == (0, False, True)


def test_a_node_that_cannot_be_browsed_is_named_and_its_neighbours_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    refuse(monkeypatch, "F1")
    part = tmp_path / "part.toml"
    with MachineryServer(folders=3, a_folder=4) as machine:
        code, _, told = command("browse", machine.url, "--security", "none", "--write", str(part))
    named = f"nsu={URI};s=F1 (BadUserAccessDenied)"
    assert (code, named in told, "8 signals" in told) == (0, True, True), told
    assert f"#   {named}\n" in part.read_text()
    (press,) = tomllib.loads(part.read_text())["gateway"]["sources"].values()
    assert {one["name"].partition(".")[0] for one in press["signals"]} == {"F0", "F2"}


def test_wrong_use_an_absent_server_and_a_node_that_is_not_there_have_their_exit_codes(tmp_path: Path) -> None:
    nobody = f"opc.tcp://127.0.0.1:{free_port()}/"
    assert command("browse", nobody, "--security", "no")[0] == 2
    assert command("browse", nobody, "--security", "none")[0] == 3
    (tmp_path / "plant.toml").write_text('[site]\nid = "t"\n[gateway]\nid = "gw"\n')
    code, _, told = command("browse", nobody, "--config", str(tmp_path / "plant.toml"), "--dir", str(tmp_path))
    assert (code, nobody in told) == (3, True), told
    assert (tmp_path / "pki").is_dir(), "signed and encrypted unless it is said otherwise"
    with MachineryServer(folders=1, a_folder=1) as machine:
        code, _, told = command("browse", machine.url, "--security", "none", "--node", f"nsu={URI};s=Nothing")
        assert (code, "does not have this node" in told) == (3, True)


@pytest.mark.parametrize("folders", [20, pytest.param(1000, marks=pytest.mark.long)])
def test_many_nodes_with_progress_and_the_answer_alone_in_a_pipe(monkeypatch: pytest.MonkeyPatch, folders: int) -> None:
    monkeypatch.setattr(module, "NODES_A_CALL", 37)
    told: list[tuple[str, int]] = []

    async def work(url: str) -> int:
        session = Session(url, "test", 60)
        try:
            await session.connect()
            tree = await browse(session, progress=lambda what, count: told.append((what, count)))
        finally:
            await session.close()
        assert [
            place for place, node in enumerate(tree.nodes) if node.data_type == "Double" and node.kind == "variable"
        ]
        return sum(node.kind == "variable" and node.data_type == "Double" for node in tree.nodes)

    with MachineryServer(folders=folders, a_folder=100) as machine:
        assert asyncio.run(work(machine.url)) == 100 * folders
        assert [what for what, _ in told] == sorted(what for what, _ in told)
        assert told[-1] == ("described", told[-1][1])
        assert len(told) > 20
        code, text, errors = command(
            "browse", machine.url, "--security", "none", "--filter", "*.F7.V9?", "--format", "csv"
        )
        assert (code, len(text.splitlines()), errors) == (0, 11, "")
