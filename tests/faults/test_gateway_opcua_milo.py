"""An OPC UA server of other people (Eclipse Milo): every policy it offers, and cuts of the network under encryption, counted."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest

from shinkei_events.settings import strict
from shinkei_gateway.opcua import browse
from shinkei_gateway.opcua.endpoints import POLICIES
from shinkei_gateway.opcua.pki import Pki
from shinkei_gateway.opcua.remembered import Remembered
from shinkei_gateway.opcua.security import Security
from shinkei_gateway.opcua.settings import OpcuaSource
from shinkei_gateway.opcua.source import OpcuaMachine
from tests.support.fake_intake import FakeIntake
from tests.support.milo_machine import NODE, URI, MiloMachine
from tests.support.ports import free_port
from tests.support.proxy import Proxy
from tests.support.secure_machine import NOW, server_identity
from tests.support.sizes import Sizes
from tests.support.waiting import eventually_async

pytestmark = [pytest.mark.long, pytest.mark.needs("milo")]
PERIOD_MS = 100


class Peer:
    """The server, a proxy before it, and one PKI for every source."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.pki = Pki(folder / "pki", "urn:shinkei:test:gw", "Shinkei gateway gw", "test")
        identity = server_identity(URI)
        self.pki.trust(identity.certificate)
        (folder / "milo").mkdir()
        self.server = MiloMachine(self.port, folder / "milo", identity, self.pki.own(NOW).certificate, PERIOD_MS)

    @asynccontextmanager
    async def source(
        self, address: str, intake: FakeIntake | None = None, **more: Any
    ) -> AsyncIterator[tuple[OpcuaMachine, FakeIntake]]:
        said = {
            "type": "opcua", "url": f"opc.tcp://{address}/machine", "machine": "M1", "publish": "100ms", "sampling": "20ms", "queue": 5000,
            "keepalive": "1s", "timeout": "5s", "retry": "300ms", "signals": [{"node": NODE, "name": "count"}],
        } | more  # fmt: skip
        made, intake = strict(said, OpcuaSource, "x"), intake or FakeIntake()
        source = OpcuaMachine(
            "src", made, intake, security=Security("src", made, self.pki, self.folder), memory=self.folder / "memory"
        )
        stop = asyncio.Event()
        running = asyncio.create_task(source.run(stop))
        try:
            yield source, intake
        finally:
            stop.set()
            await asyncio.wait_for(running, 20)


def counted(intake: FakeIntake) -> list[int]:
    return [reading.value for reading in intake.readings("count")]


def complete(intake: FakeIntake) -> None:
    """In order, each once, no gap. The server samples every 20 ms what changes every 100 ms: busy, it may miss a value by itself, never a whole cut."""
    found = counted(intake)
    assert intake.gaps() == []
    assert sorted(found) == found == list(dict.fromkeys(found))
    assert max(later - one for one, later in pairwise(found)) <= 3


def check(folder: Path, test: Any) -> None:
    peer = Peer(folder)
    try:
        peer.server.listens()
        asyncio.run(test(peer))
    finally:
        peer.server.stop()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def test_every_policy_and_mode_that_it_offers(folder: Path) -> None:
    async def test(peer: Peer) -> None:
        for policy in POLICIES:
            for mode in ("sign", "sign_and_encrypt"):
                if policy == "none":
                    continue
                async with peer.source(f"127.0.0.1:{peer.port}", security=policy, mode=mode) as (source, intake):
                    await eventually_async(lambda intake=intake: len(counted(intake)) > 5, 60)
                    security = source.health()["security"]
                    assert (security["policy"], security["mode"], source.health()["error"]) == (policy, mode, "")
        async with peer.source(f"127.0.0.1:{peer.port}", security="none") as (source, _):
            await eventually_async(lambda: source.health()["error"], 60)
            assert not source.health()["connected"]

    check(folder, test)


def test_cuts_under_encryption_lose_nothing(folder: Path, rng: random.Random, sizes: Sizes) -> None:
    many = sizes.of("cuts of a Milo server", sample=4, full=30)

    async def test(peer: Peer) -> None:
        with Proxy(peer.port) as proxy:
            async with peer.source(proxy.address) as (source, intake):
                for cut in range(many):
                    before = len(counted(intake))
                    await eventually_async(lambda before=before: len(counted(intake)) > before, 60)
                    proxy.cut()
                    await eventually_async(lambda: not source.health()["connected"], 60)
                    await asyncio.sleep(rng.uniform(0.2, 2.0))  # the length of the cut, not a wait for a state
                    proxy.restore()
                    await eventually_async(lambda cut=cut: source.health()["connections"] >= cut + 2, 60)
                end = len(counted(intake))
                await eventually_async(lambda: len(counted(intake)) > end + 5, 60)
                complete(intake)
                assert source.health()["resumed"] >= many

    check(folder, test)


def test_a_restart_of_the_gateway_takes_its_subscription_up_again(folder: Path) -> None:
    async def test(peer: Peer) -> None:
        intake = FakeIntake()
        for start in range(3):
            async with peer.source(f"127.0.0.1:{peer.port}", intake) as (source, _):
                before = len(counted(intake))
                await eventually_async(lambda before=before: len(counted(intake)) > before + 5, 60)
                await eventually_async(
                    lambda source=source, start=start: source.health()["resumed"] == min(start, 1), 60
                )
            await asyncio.sleep(1.0)  # the length of the restart
        complete(intake)

    check(folder, test)


def test_a_session_that_is_lost_hands_its_subscription_over(folder: Path) -> None:
    """The next process has the subscription's number and no token: it must be transferred to a new session (Part 4 §5.14.7)."""

    async def test(peer: Peer) -> None:
        intake, memory = FakeIntake(), folder / "memory"
        (folder / "password").write_text("secret")
        (folder / "password").chmod(0o600)
        # Two sessions without a user are two users to Milo (BadUserAccessDenied).
        user = {"name": "press", "password": "file:password"}
        for start in range(4):
            async with peer.source(f"127.0.0.1:{peer.port}", intake, user=user) as (source, _):
                before = len(counted(intake))
                await eventually_async(lambda before=before: len(counted(intake)) > before + 5, 60)
                assert source.health()["resumed"] == min(start, 1)
            kept = msgspec.msgpack.decode(memory.read_bytes(), type=Remembered)
            kept.token = b""
            memory.write_bytes(msgspec.msgpack.encode(kept))
        found, gaps = counted(intake), intake.gaps()
        assert sorted(found) == found == list(dict.fromkeys(found))
        assert gaps == [], "the number that told the old session of the transfer is no loss"
        assert all(later - one <= 3 for one, later in pairwise(found))

    check(folder, test)


def test_an_address_space_is_read_by_continuation_points(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(peer: Peer) -> None:
        async with peer.source(f"127.0.0.1:{peer.port}") as (source, intake):
            await eventually_async(lambda: counted(intake), 60)
            assert source.session is not None
            trees = []
            for references in (1000, 1):
                monkeypatch.setattr(browse, "REFERENCES", references)
                found = await browse.browse(source.session, node="i=84")
                trees.append({(node.key, node.name) for node in found.nodes})
            assert trees[0] == trees[1]
            assert len(trees[0]) > 3

    check(folder, test)
