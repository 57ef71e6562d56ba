"""Signed and encrypted sessions against the real library's server: every policy, mode and user, and every fault told once and clearly."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua
from asyncua.crypto.security_policies import SecurityPolicyNone
from asyncua.server.internal_session import InternalSession
from asyncua.server.uaprocessor import UaProcessor
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from shinkei_cli.main import main
from shinkei_events.errors import BadInput, NotConnected
from shinkei_events.model.progress import Command, Trust
from shinkei_gateway.opcua import refusal
from shinkei_gateway.opcua.certificate import encoded, fingerprint, thumbprint
from shinkei_gateway.opcua.endpoints import discover
from shinkei_gateway.opcua.session import Session
from shinkei_gateway.opcua.trusting import actions
from tests.support.counting_machine import settings
from tests.support.gateway_site import write_site
from tests.support.honest_server import WAYS
from tests.support.living_source import Living, check, connect, trusted
from tests.support.ports import free_port
from tests.support.secure_machine import ALL, KEY, NOW, SERVER_URI, SecureMachine, secured, server_identity

POLICIES = ["Basic256Sha256", "Aes128_Sha256_RsaOaep", "Aes256_Sha256_RsaPss"]
LONG = "pass" * 25


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)


def test_every_policy_mode_and_user(tmp_path: Path) -> None:
    user = server_identity("urn:user", [])
    (tmp_path / "user.der").write_bytes(encoded(user.certificate))
    key = user.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "user.pem").write_bytes(key)
    (tmp_path / "password").write_text("geheim-鍵\n")
    users: list[dict[str, Any]] = [
        {},
        {"user": {"name": "gw", "password": "file:password"}},
        {"user": {"certificate": "user.der", "key": "file:user.pem"}},
    ]
    machine = SecureMachine(free_port(), server_identity(), users={"gw": "geheim-鍵"})

    async def test() -> None:
        trusted(tmp_path, machine)
        for policy in POLICIES:
            for mode in ("sign", "sign_and_encrypt"):
                for who in users:
                    client = await connect(tmp_path, machine, security=policy, mode=mode, **who)
                    assert client.security_policy.URI.endswith(policy)
                    assert (
                        client.security_policy.Mode
                        == ua.MessageSecurityMode[{"sign": "Sign"}.get(mode, "SignAndEncrypt")]
                    )
                    assert client.application_uri == "urn:shinkei:test:gw"
        assert (await connect(tmp_path, machine, security="none")).security_policy.Mode == ua.MessageSecurityMode.None_

    check(machine, test)


def test_a_server_that_lists_no_endpoints_for_the_address_it_was_asked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    """gopcua's, behind a translated address: user and policy are those that it named before."""
    made = InternalSession.create_session
    monkeypatch.setenv("GW_PASSWORD", "geheim")

    async def without_endpoints(*args: Any, **more: Any) -> ua.CreateSessionResult:
        result = await made(*args, **more)
        result.ServerEndpoints = []
        return result

    monkeypatch.setattr(InternalSession, "create_session", without_endpoints)
    machine = SecureMachine(free_port(), server_identity(), users={"gw": "geheim"})

    async def test() -> None:
        trusted(tmp_path, machine)
        for user in ({}, {"user": {"name": "gw", "password": "env:GW_PASSWORD"}}):
            await connect(tmp_path, machine, **user)
        await connect(tmp_path, machine, security="none")

    check(machine, test)


def test_a_session_that_came_to_nothing_is_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server keeps it for as long as it was asked for, and has few: some attempts later it would take no more."""
    monkeypatch.setenv("GW_PASSWORD", "wrong")
    machine = SecureMachine(free_port(), server_identity(), users={"gw": "geheim"})
    closed: list[InternalSession] = []
    close = InternalSession.close_session

    async def given_back(session: InternalSession, delete_subs: bool = True) -> None:
        closed.append(session)
        await close(session, delete_subs)

    async def kept(_processor: UaProcessor) -> None:
        """The connection's end does not end its session."""

    async def test() -> None:
        trusted(tmp_path, machine)
        with monkeypatch.context() as patch:
            patch.setattr(InternalSession, "close_session", given_back)
            patch.setattr(UaProcessor, "close", kept)
            with pytest.raises(refusal.UserRefused):
                await connect(tmp_path, machine, user={"name": "gw", "password": "env:GW_PASSWORD"})
            assert len(closed) == 1

    check(machine, test)


def test_a_password_is_encrypted_for_the_server_also_without_a_secure_channel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setenv("GW_PASSWORD", "geheim")
    user = {"user": {"name": "gw", "password": "env:GW_PASSWORD"}}
    machine = SecureMachine(free_port(), server_identity(), users={"gw": "geheim"})
    plain = SecureMachine(
        free_port(), server_identity(), users={"gw": "geheim"}, policies=[ua.SecurityPolicyType.NoSecurity]
    )

    async def encrypted() -> None:
        with pytest.raises(refusal.CertificateUntrusted):
            await connect(tmp_path, machine, security="none", **user)
        trusted(tmp_path, machine)
        await connect(tmp_path, machine, security="none", **user)

    async def no_certificate_in_the_session() -> None:
        trusted(tmp_path, machine)
        nothing = property(lambda _policy: None, lambda _policy, _value: None)
        with monkeypatch.context() as patch:
            patch.setattr(SecurityPolicyNone, "host_certificate", nothing, raising=False)
            await connect(tmp_path, machine, security="none", **user)

    async def in_the_clear() -> None:
        with pytest.raises(refusal.TokenNotOffered, match="protects too little"):
            await connect(tmp_path, plain, security="none", **user)

    check(machine, encrypted)
    check(machine, no_certificate_in_the_session)  # as open62541 does where the channel has no security
    check(plain, in_the_clear)


def test_what_the_server_does_not_offer_is_told_with_what_it_does(tmp_path: Path) -> None:
    machine = SecureMachine(
        free_port(), server_identity(), tokens=[ua.UserNameIdentityToken],
        policies=[ua.SecurityPolicyType.NoSecurity, ua.SecurityPolicyType.Basic256Sha256_Sign],
    )  # fmt: skip

    async def test() -> None:
        with pytest.raises(refusal.EndpointNotOffered, match=r"none \(user name\); Basic256Sha256 sign \(user name\)"):
            await connect(tmp_path, machine)
        with pytest.raises(refusal.TokenNotOffered, match="takes no anonymous on this endpoint; it takes user name"):
            await connect(tmp_path, machine, mode="sign")

    check(machine, test)


def test_a_server_that_hangs_up_on_the_open_channel_is_asked_at_its_discovery_address() -> None:
    asked: list[bytes] = []

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.read(4096))
        writer.close()

    async def test() -> None:
        async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
            url = f"opc.tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}/machine"
            with pytest.raises(NotConnected):
                await discover(url, 60)

    asyncio.run(test())
    assert [hello.endswith(b"/machine/discovery") for hello in asked] == [False, True]


def test_a_server_whose_discovery_is_closed_is_reached_by_the_certificate_that_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setenv("GW_PASSWORD", "geheim")
    machine = SecureMachine(free_port(), server_identity(), policies=ALL[1:], users={"gw": "geheim"})
    monkeypatch.setattr(WAYS, "opens_unsecured", False)
    mine = {"server_certificate": "press.der", "user": {"name": "gw", "password": "env:GW_PASSWORD"}}

    async def test() -> None:
        with pytest.raises(refusal.EndpointNotOffered, match="name its certificate: server_certificate"):
            await connect(tmp_path, machine)
        async with Living(tmp_path, machine, monkeypatch, **mine) as living:
            assert "press.der cannot be read" in await living.refused("BadCertificateInvalid")
            (tmp_path / "press.der").write_bytes(encoded(machine.identity.certificate))
            await living.refused("BadCertificateUntrusted")
            assert machine.asked == 0
            living.pki.trust(machine.identity.certificate)
            await living.connected()
        for policy in POLICIES:
            client = await connect(tmp_path, machine, security=policy, mode="sign", **mine)
            assert client.security_policy.URI.endswith(policy)
        for wanted in (thumbprint, fingerprint):
            await connect(tmp_path, machine, server_certificate=wanted(machine.identity.certificate).lower())
        with pytest.raises(refusal.CertificateUntrusted, match=r"no certificate in .* has it"):
            await connect(tmp_path, machine, server_certificate="00" * 20)
        other = server_identity()
        secured(tmp_path, machine.url)[1].trust(other.certificate)
        with pytest.raises(NotConnected, match="certificate"):
            await connect(tmp_path, machine, server_certificate=thumbprint(other.certificate))

    check(machine, test)


def test_endpoints_are_asked_for_where_the_configuration_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = SecureMachine(free_port(), server_identity(), policies=ALL[1:])
    lists = SecureMachine(free_port(), machine.identity)

    async def test() -> None:
        trusted(tmp_path, machine)
        await lists.start()
        opened: Any = UaProcessor.open_secure_channel

        def only_there(self: UaProcessor, algorithm: Any, *more: Any) -> None:
            assert self._transport.get_extra_info("sockname")[1] == lists.port or algorithm.SenderCertificate
            opened(self, algorithm, *more)

        monkeypatch.setattr(UaProcessor, "open_secure_channel", only_there)
        try:
            client = await connect(tmp_path, machine, discovery=lists.url)
            assert client.server_url.port == machine.port
            for endpoint in lists._server.iserver.endpoints:
                endpoint.Server.ApplicationType = ua.ApplicationType.DiscoveryServer
            with pytest.raises(refusal.EndpointNotOffered, match="is a discovery server"):
                await connect(tmp_path, machine, discovery=lists.url)
        finally:
            await lists.stop()

    check(machine, test)


def test_a_server_that_calls_itself_by_a_name_we_do_not_know_is_reached(tmp_path: Path) -> None:
    machine = SecureMachine(free_port(), server_identity(hosts=["plc-7.invalid"]), host="plc-7.invalid")

    async def test() -> None:
        trusted(tmp_path, machine, f"127.0.0.1:{machine.port}")
        await connect(tmp_path, machine)

    check(machine, test)


def test_the_channel_is_renewed_under_encryption_and_values_go_on(tmp_path: Path) -> None:
    machine = SecureMachine(free_port(), server_identity())

    async def test() -> None:
        trusted(tmp_path, machine)
        source, _, security = secured(tmp_path, machine.url)
        session = Session(source.url, "test", 60.0, security.secure)
        session._client.secure_channel_timeout = 2_000  # a busy machine must manage half a second between renewals
        await session.connect()

        def token() -> int:
            protocol: Any = session._client.uaclient.protocol
            return int(protocol._connection.security_token.TokenId)

        first = token()
        while token() < first + 4:
            assert await session.is_alive(), session.lost
        assert not session.lost.done()
        await session.close()

    check(machine, test)


def test_our_certificate_is_renewed_without_a_restart_also_at_servers_that_know_only_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setattr(refusal.OwnCertificateRefused, "pause_s", 0.5)
    machine = SecureMachine(free_port(), server_identity())

    async def test() -> None:
        trusted(tmp_path, machine)
        async with Living(tmp_path, machine, monkeypatch) as living:
            await living.connected()
            old = thumbprint(living.pki.own(NOW).certificate)
            machine.clients = {old}
            new = thumbprint(secured(tmp_path, machine.url)[1].renew(NOW).certificate)
            assert living.session()._client.is_stale(), "the next renewal of the channel takes the new certificate up"
            await machine.stop()
            await machine.start()
            await living.connected(2)
            assert living.source.health()["security"]["own"]["sha1"] == old
            machine.clients = {new}
            await machine.stop()
            await machine.start()
            await living.connected(3)
            assert living.source.health()["security"]["own"]["sha1"] == new

    check(machine, test)


def test_keys_longer_than_ours_and_chains_are_spoken_with(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric import rsa

    machine = SecureMachine(free_port(), server_identity(key=rsa.generate_private_key(65537, 3072)), users={"gw": LONG})

    async def test() -> None:
        trusted(tmp_path, machine)
        (tmp_path / "password").write_text(LONG)
        for policy in POLICIES:
            await connect(
                tmp_path, machine, security=policy, mode="sign", user={"name": "gw", "password": "file:password"}
            )

    assert machine.identity.key.key_size > KEY.key_size
    check(machine, test)


def test_trust_shows_both_certificates_and_moves_the_servers_after_a_yes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    machine = SecureMachine(free_port(), server_identity(hosts=["plc-7"]))
    more = settings(machine.url)
    del more["security"]
    path = write_site(tmp_path, {"src": more})

    def command(*words: str) -> tuple[int, str, str]:
        code = main(["gateway", *words, "--config", str(path), "--dir", str(tmp_path / "site")])
        told = capsys.readouterr()
        return code, told.out, told.err

    async def test() -> None:
        mine = thumbprint(machine.identity.certificate)
        code, out, _ = await asyncio.to_thread(command, "trust", "src", "--format", "json")
        server, gateway = json.loads(out)
        assert (code, server["sha1"], "not trusted" in server["state"]) == (1, mine, True)
        assert gateway["sha1"] == thumbprint(
            x509.load_der_x509_certificate((tmp_path / "site/pki/own/certificate.der").read_bytes())
        )
        assert (await asyncio.to_thread(command, "trust", machine.url, "--thumbprint", "00" * 20))[0] == 1
        assert (await asyncio.to_thread(command, "trust", machine.url, "--thumbprint", mine))[0] == 0
        code, out, _ = await asyncio.to_thread(command, "trust", "src", "--format", "json")
        assert (code, json.loads(out)[0]["state"]) == (0, "trusted")
        code, out, _ = await asyncio.to_thread(command, "check", "--format", "json")
        assert json.loads(out)[0]["state"] != "absent"
        assert (await asyncio.to_thread(command, "certificate", "renew"))[0] == 0
        _, out, _ = await asyncio.to_thread(command, "certificate", "show", "--format", "json")
        assert [row["whose"] for row in json.loads(out)] == ["gateway", "gateway, before"]

    check(machine, test)


def test_a_certificate_that_is_named_is_trusted_without_asking_the_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    mine = server_identity().certificate
    more = settings(f"opc.tcp://127.0.0.1:{free_port()}", server_certificate="press.pem")
    del more["security"]
    path = write_site(tmp_path, {"src": more})
    path.with_name("press.pem").write_bytes(mine.public_bytes(serialization.Encoding.PEM))
    words = ["gateway", "trust", "src", "--config", str(path), "--dir", str(tmp_path / "site")]
    assert main([*words, "--thumbprint", thumbprint(mine)]) == 0
    assert "was not asked" in capsys.readouterr().out
    assert main([*words, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["state"] == "trusted"


def test_trust_is_also_a_command_of_the_running_gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = SecureMachine(free_port(), server_identity())

    async def test() -> None:
        async with Living(tmp_path, machine, monkeypatch) as living:
            await living.refused("BadCertificateUntrusted")
            act = actions({"src": living.source}.get)[Trust]

            def asked(source: str, name: str) -> Command:
                return Command(
                    id="1", gateway="gw", issuer="cli/x", deadline=0, request=Trust(source=source, thumbprint=name)
                )

            for source, name in (("nobody", "0" * 40), ("src", "0" * 40)):
                with pytest.raises(BadInput):
                    await act(asked(source, name))
            result = await act(asked("src", thumbprint(machine.identity.certificate)))
            assert result["trusted"]["application_uri"] == SERVER_URI
            await living.connected()

    check(machine, test)
