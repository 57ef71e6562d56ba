"""Certificates that are expired, changed or not trusted, and a wrong password: told once and clearly, and no storm of attempts."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from shinkei_gateway.opcua import refusal
from shinkei_gateway.opcua.certificate import thumbprint
from tests.support.living_source import Living, check, connect, trusted
from tests.support.ports import free_port
from tests.support.secure_machine import NOW, SERVER_URI, Authority, SecureMachine, secured, server_identity
from tests.support.waiting import eventually_async


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)


@pytest.mark.parametrize(
    ("made", "error"),
    [
        ({"now": NOW - timedelta(days=400)}, refusal.CertificateExpired),
        ({"now": NOW + timedelta(days=3)}, refusal.CertificateNotYetValid),
        ({"hosts": ["plc-7"]}, refusal.CertificateHostMismatch),
        ({"uri": "urn:somebody:else"}, refusal.CertificateWrongUri),
    ],
    ids=["expired", "not yet valid", "other host", "other application"],
)
def test_a_trusted_certificate_that_is_not_right_is_refused(tmp_path: Path, made: dict[str, Any], error: type[Exception]) -> None:  # fmt: skip
    machine = SecureMachine(free_port(), server_identity(**({"uri": SERVER_URI} | made)))

    async def test() -> None:
        trusted(tmp_path, machine)
        with pytest.raises(error):
            await connect(tmp_path, machine)
        assert machine.asked == 0

    check(machine, test)


def test_an_issuer_is_trusted_by_its_list_of_revoked_certificates(tmp_path: Path) -> None:
    authority = Authority()
    machine = SecureMachine(free_port(), authority.issue(server_identity()))

    async def test() -> None:
        _, pki, _ = secured(tmp_path, machine.url)
        pki.trust(authority.certificate)
        with pytest.raises(refusal.RevocationUnknown):
            await connect(tmp_path, machine)
        (pki.folder / "crl" / "ca.crl").write_bytes(authority.crl())
        await connect(tmp_path, machine)
        (pki.folder / "crl" / "ca.crl").write_bytes(authority.crl(machine.identity.certificate))
        with pytest.raises(refusal.CertificateRevoked):
            await connect(tmp_path, machine)

    check(machine, test)


def test_an_unknown_server_is_refused_once_and_taken_as_soon_as_a_person_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    machine = SecureMachine(free_port(), server_identity())

    async def test() -> None:
        async with Living(tmp_path, machine, monkeypatch) as living:
            why = await living.refused("BadCertificateUntrusted")
            assert thumbprint(machine.identity.certificate) in why
            assert "shinkei gateway trust src" in why
            await asyncio.sleep(1.5)  # four and more attempts if it were an ordinary loss: its longest pause is 0.3 s
            assert (living.refusals(), machine.asked) == (["BadCertificateUntrusted"], 0)
            other = secured(tmp_path, machine.url)[1]
            other.trust(other.rejected(thumbprint(machine.identity.certificate)), f"127.0.0.1:{machine.port}")
            await living.connected()
            assert "refused" not in living.source.health()["security"]
            await machine.step()
            await eventually_async(lambda: living.intake.readings("t3"))

    check(machine, test)


def test_a_server_with_another_certificate_than_before_is_refused_with_both_fingerprints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    machine = SecureMachine(free_port(), server_identity())

    async def test() -> None:
        trusted(tmp_path, machine)
        async with Living(tmp_path, machine, monkeypatch) as living:
            await living.connected()
            before = machine.identity.certificate
            await machine.stop()
            machine.identity = server_identity()
            await machine.start()
            why = await living.refused("BadCertificateUntrusted")
            assert type(living.security._refused) is refusal.CertificateChanged
            assert thumbprint(before) in why
            assert thumbprint(machine.identity.certificate) in why
            living.pki.trust(machine.identity.certificate)
            await living.connected(2)

    check(machine, test)


def test_a_wrong_password_is_not_tried_again_until_it_is_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "password").write_text("wrong")
    machine = SecureMachine(free_port(), server_identity(), users={"gw": "right"})

    async def test() -> None:
        trusted(tmp_path, machine)
        async with Living(tmp_path, machine, monkeypatch, user={"name": "gw", "password": "file:password"}) as living:
            why = await living.refused("BadUserAccessDenied")
            assert "the user gw" in why
            assert "wrong" not in why
            await asyncio.sleep(1.5)  # as above
            assert (machine.asked, living.refusals()) == (1, ["BadUserAccessDenied"])
            machine.users = {"gw": "right"}
            (tmp_path / "password").write_text("right")
            await living.connected()

    check(machine, test)


def test_a_server_that_does_not_trust_us_is_told_where_our_certificate_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setattr(refusal.OwnCertificateRefused, "pause_s", 0.5)
    machine = SecureMachine(free_port(), server_identity())
    machine.clients = set()

    async def test() -> None:
        trusted(tmp_path, machine)
        async with Living(tmp_path, machine, monkeypatch) as living:
            why = await living.refused("BadSecurityChecksFailed")
            own = living.pki.own(NOW).certificate
            assert str(living.pki.own_file) in why
            assert thumbprint(own) in why
            machine.clients = {thumbprint(own)}
            await living.connected()
            assert living.refusals() == ["BadSecurityChecksFailed"]

    check(machine, test)
