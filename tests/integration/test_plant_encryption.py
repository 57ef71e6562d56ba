"""A machine of the line with certificates: it lets in the gateway that it trusts, encrypted, and nobody in any other way."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from asyncua import Client, ua
from asyncua.common.connection import MessageChunk
from asyncua.crypto import security_policies as library
from asyncua.ua.uaerrors import BadSecurityChecksFailed, BadSessionNotActivated, BadUserAccessDenied
from cryptography import x509

from shinkei_cli.demo_certificates import introduce
from shinkei_events.errors import NotConnected
from shinkei_events.settings import PlantFile, load_plant, section
from shinkei_gateway.opcua import refusal
from shinkei_gateway.opcua.certificate import Identity, encoded, make_identity, thumbprint
from shinkei_gateway.opcua.endpoints import discover
from shinkei_gateway.opcua.pki import Pki, pki_of
from shinkei_gateway.opcua.security import security_of
from shinkei_gateway.opcua.session import Session
from shinkei_gateway.opcua.settings import OpcuaSource
from shinkei_gateway.settings import GatewaySettings, sources_of
from shinkei_plant.encryption import Keys
from shinkei_plant.opcua_server import MachineServer, SignalNode
from shinkei_plant.sample import plant_toml
from tests.support.plant import plant_ports
from tests.support.secure_machine import KEY, NOW

OPEN: Any = library.SecurityPolicyNone
SIGNED: Any = library.SecurityPolicyBasic256Sha256
STATE = ua.NodeId("State", 2)


@pytest.fixture(autouse=True)
def reckless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client of the library that also tries what is not offered."""
    monkeypatch.setattr(Client, "find_endpoint", staticmethod(lambda endpoints, *_: endpoints[0]))


class Line:
    """OP20 alone and encrypted; the gateway and it know each other's certificates."""

    def __init__(self, folder: Path) -> None:
        self.machines, file = folder / "machines-pki", folder / "plant.toml"
        file.write_text(plant_toml(ports=plant_ports(), pki=self.machines))
        self.plant: PlantFile = load_plant(file, folder)
        introduce(self.plant, self.machines, ["OP20"], NOW)
        source = sources_of(section(self.plant, "gateway", GatewaySettings))["op20"]
        assert isinstance(source, OpcuaSource)
        self.source, self.security = source, security_of("op20", source, self.plant)
        self.gateway = pki_of(self.plant).own(NOW)

    async def ask(self) -> str:
        """The policy that the gateway's own session used; raises what its source would be told."""
        session = Session(self.source.url, "test", 60.0, self.security.secure)
        try:
            await session.connect()
            assert await session.is_alive()
            return str(session._client.security_policy.Mode.name)
        except NotConnected as error:
            raise self.security.explain(error) from error
        finally:
            await session.close()

    @contextlib.asynccontextmanager
    async def created(self, policy: Any) -> AsyncIterator[Client]:
        """A client of the library's with a session that is not activated yet."""
        client = Client(self.source.url, timeout=60)
        client.application_uri = self.gateway.uri
        client.security_policy = policy  # type: ignore[assignment]
        client.uaclient.set_security(policy)
        await client.connect_socket()
        try:
            await client.send_hello()
            await client.open_secure_channel()
            await client.create_session()
            yield client
        finally:
            client.disconnect_socket()

    def policy(self, of: Identity) -> Any:
        server = pki_of(self.plant).lists()[0].trusted[0]
        return SIGNED(server, of.certificate, of.key, ua.MessageSecurityMode.SignAndEncrypt)


def check(folder: Path, test: Callable[[Line], Awaitable[None]]) -> None:
    async def whole() -> None:
        line = Line(folder)
        port = int(line.source.url.rstrip("/").rpartition(":")[2])
        server = MachineServer("OP20", "127.0.0.1", port, Keys(line.machines, "OP20"))
        await server.make([SignalNode("torque")], [], [])
        await server.start()
        try:
            await asyncio.wait_for(test(line), 300)
        finally:
            await server.close()

    asyncio.run(whole())


def stranger(line: Line) -> Identity:
    return make_identity(line.gateway.uri, "Stranger", "nobody", [], NOW, key=KEY)


def test_the_gateway_is_let_in_encrypted_as_long_as_the_machine_trusts_it(tmp_path: Path) -> None:
    async def test(line: Line) -> None:
        assert await line.ask() == "SignAndEncrypt"
        mine = next((line.machines / "trusted").iterdir())
        content = mine.read_bytes()
        mine.write_bytes(b"no certificate")
        with pytest.raises(refusal.OwnCertificateRefused, match=thumbprint(line.gateway.certificate)):
            await line.ask()
        mine.write_bytes(content)
        assert await line.ask() == "SignAndEncrypt"

    check(tmp_path, test)


def naming(certificate: x509.Certificate, policy: Any) -> Any:
    """The library's, but with ``certificate`` in what opens a channel of ``policy``: it leaves it out there."""
    made = MessageChunk.message_to_chunks

    def chunks(of: Any, *args: Any, **more: Any) -> list[MessageChunk]:
        found = made(of, *args, **more)
        if of is policy and isinstance(found[0].SecurityHeader, ua.AsymmetricAlgorithmHeader):
            found[0].SecurityHeader.SenderCertificate = encoded(certificate)  # type: ignore[assignment]
        return found

    return staticmethod(chunks)


def test_nobody_else_is_let_in(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(line: Line) -> None:
        assert {one.SecurityMode.name for one in await discover(line.source.url, 60)} == {"SignAndEncrypt"}
        async with line.created(OPEN()) as client:
            with pytest.raises(BadSecurityChecksFailed):
                await client.activate_session()
        async with line.created(line.policy(stranger(line))) as client:
            with pytest.raises((BadSessionNotActivated, BadUserAccessDenied)):
                await client.get_node(STATE).read_value()
            with pytest.raises(BadSecurityChecksFailed):
                await client.activate_session()
        # A certificate is public: naming the gateway's on an open channel proves nothing.
        open_ = OPEN()
        monkeypatch.setattr(MessageChunk, "message_to_chunks", naming(line.gateway.certificate, open_))
        async with line.created(open_) as client:
            await client.activate_session()
            with pytest.raises(BadUserAccessDenied):
                await client.get_node(STATE).read_value()
        async with line.created(line.policy(line.gateway)) as client:  # none of this is refused for another reason
            await client.activate_session()
            await client.get_node(STATE).read_value()

    check(tmp_path, test)
    told = [record.getMessage() for record in caplog.records if "refused a client" in record.getMessage()]
    assert any("not encrypted" in line for line in told)
    assert any("is not in" in line for line in told)


def test_a_trusted_certificate_past_its_end_is_not_taken(tmp_path: Path) -> None:
    async def test(line: Line) -> None:
        old = make_identity(line.gateway.uri, "Old", "site", [], NOW - timedelta(days=9), valid=timedelta(days=1), key=KEY)  # fmt: skip
        Pki(line.machines, "", "", "").trust(old.certificate)
        async with line.created(line.policy(old)) as client:
            with pytest.raises(BadSecurityChecksFailed):
                await client.activate_session()

    check(tmp_path, test)
