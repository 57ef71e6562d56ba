"""Which certificates are believed (Part 4 §6.1.3), and what lies where in the PKI folder."""

from __future__ import annotations

import stat
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from asyncua import ua
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from shinkei_events.errors import BadConfig, NotConnected
from shinkei_events.settings import strict
from shinkei_gateway.opcua import refusal
from shinkei_gateway.opcua.certificate import (
    Identity,
    encoded,
    host_names,
    make_identity,
    read_chain,
    read_identity,
    thumbprint,
)
from shinkei_gateway.opcua.endpoints import POLICIES, choose, shown_first, token_policy, url_at
from shinkei_gateway.opcua.expiry import ExpiryWatch
from shinkei_gateway.opcua.pki import REJECTED_MOST, Pki
from shinkei_gateway.opcua.secure_client import SecureClient
from shinkei_gateway.opcua.settings import OpcuaSource, check_opcua
from shinkei_gateway.opcua.validation import Expected, TrustLists, validate
from tests.support.counting_machine import settings
from tests.support.secure_machine import KEY, NOW, SERVER_URI, Authority, server_identity

EXPECTED = Expected("127.0.0.1", SERVER_URI)
SERVER = server_identity()
AUTHORITY = Authority()
ISSUED = AUTHORITY.issue(SERVER)


def crl(*revoked: x509.Certificate, **more: Any) -> x509.CertificateRevocationList:
    return x509.load_der_x509_crl(AUTHORITY.crl(*revoked, **more))


def believed(identity: Identity, expected: Expected = EXPECTED, lists: TrustLists | None = None, **more: Any) -> None:
    validate([identity.certificate], lists or TrustLists([identity.certificate]), expected, more.get("now", NOW))


def test_our_certificate_is_what_part_6_asks_for() -> None:
    made = make_identity(
        "urn:shinkei:osaka:gw-01", "Shinkei gateway gw-01", "osaka", ["edge-pc", "192.0.2.4"], NOW, key=KEY
    )
    extension = made.certificate.extensions.get_extension_for_class
    usage, basic = extension(x509.KeyUsage).value, extension(x509.BasicConstraints).value
    assert made.uri == "urn:shinkei:osaka:gw-01"
    assert host_names(made.certificate) == ["edge-pc", "192.0.2.4"]
    assert (usage.digital_signature, usage.content_commitment, usage.key_encipherment, usage.data_encipherment) == (
        True,
    ) * 4
    assert (usage.key_cert_sign, basic.ca) == (True, False)
    assert x509.ExtendedKeyUsageOID.CLIENT_AUTH in extension(x509.ExtendedKeyUsage).value
    assert made.key.key_size == 2048
    assert isinstance(made.certificate.signature_hash_algorithm, hashes.SHA256)
    assert read_identity(made.pem()).certificate == made.certificate


def test_a_chain_in_one_field_is_read_and_anything_else_is_refused() -> None:
    both = encoded(ISSUED.certificate) + encoded(AUTHORITY.certificate)
    assert read_chain(both) == [ISSUED.certificate, AUTHORITY.certificate]
    for wrong in (b"", None, b"\x30\x82", b"no certificate", both[:-5], both + b"\x00"):
        with pytest.raises(refusal.CertificateInvalid):
            read_chain(wrong)


@pytest.mark.parametrize(
    ("made", "error"),
    [
        (server_identity(now=NOW - timedelta(days=400)), refusal.CertificateExpired),
        (server_identity(now=NOW + timedelta(days=3)), refusal.CertificateNotYetValid),
        (server_identity(hosts=["plc-7"]), refusal.CertificateHostMismatch),
        (server_identity(hosts=[]), refusal.CertificateHostMismatch),
        (server_identity("urn:somebody:else"), refusal.CertificateWrongUri),
        (server_identity(key=rsa.generate_private_key(65537, 1024)), refusal.CertificateWeak),
        (make_identity(SERVER_URI, "Press", "maker", ["127.0.0.1"], NOW, key=KEY), refusal.CertificateUseNotAllowed),
    ],
)
def test_each_fault_of_a_trusted_certificate_has_its_own_error(made: Identity, error: type[Exception]) -> None:
    believed(SERVER)
    with pytest.raises(error):
        believed(made)


def test_an_unknown_certificate_is_untrusted_also_when_it_has_other_faults() -> None:
    with pytest.raises(refusal.CertificateUntrusted):
        believed(server_identity(now=NOW - timedelta(days=400)), lists=TrustLists([SERVER.certificate]))


def test_a_certificate_with_another_ones_names_and_a_wrong_signature_is_refused() -> None:
    der = bytearray(encoded(SERVER.certificate))
    der[-1] ^= 1
    forged = x509.load_der_x509_certificate(bytes(der))
    with pytest.raises(refusal.CertificateInvalid):
        validate([forged], TrustLists([forged]), EXPECTED, NOW)
    liar = Authority()  # the same name, another key
    with pytest.raises(refusal.CertificateInvalid):
        validate([ISSUED.certificate, liar.certificate], TrustLists([liar.certificate]), EXPECTED, NOW)


def test_names_and_use_may_be_waived_by_a_person_for_one_address_time_and_uri_not() -> None:
    pinned = EXPECTED._replace(is_pinned=True)
    believed(server_identity(hosts=["plc-7"]), pinned)
    with pytest.raises(refusal.CertificateExpired):
        believed(server_identity(now=NOW - timedelta(days=400)), pinned)
    with pytest.raises(refusal.CertificateWrongUri):
        believed(server_identity("urn:somebody:else"), pinned)


def test_addresses_are_compared_as_addresses_and_loopback_is_this_machine() -> None:
    v6 = server_identity(hosts=["2001:db8::1"])
    believed(v6, EXPECTED._replace(host="2001:0db8:0:0::1"))
    believed(server_identity(hosts=["PLC-7"]), EXPECTED._replace(host="plc-7"))
    mine = server_identity(hosts=["edge-pc"])
    believed(mine, EXPECTED._replace(host="localhost", aliases=lambda: ["edge-pc"]))
    never = Mock(side_effect=AssertionError("a resolver may take seconds"))
    believed(server_identity(hosts=["127.0.0.1"]), EXPECTED._replace(host="localhost", aliases=never))
    with pytest.raises(refusal.CertificateHostMismatch):
        believed(mine, EXPECTED._replace(host="192.0.2.9", aliases=lambda: ["edge-pc"]))


def test_an_issuer_is_trusted_for_what_it_has_not_revoked() -> None:
    sent = [ISSUED.certificate, AUTHORITY.certificate]
    trusting = TrustLists([AUTHORITY.certificate], crls=[crl()])
    validate(sent, trusting, EXPECTED, NOW)
    validate(sent[:1], trusting, EXPECTED, NOW)
    with pytest.raises(refusal.CertificateUntrusted):
        validate(sent, TrustLists(issuers=[AUTHORITY.certificate], crls=[crl()]), EXPECTED, NOW)
    with pytest.raises(refusal.CertificateRevoked):
        validate(sent, trusting._replace(crls=[crl(ISSUED.certificate)]), EXPECTED, NOW)
    with pytest.raises(refusal.RevocationUnknown):
        validate(sent, trusting._replace(crls=[]), EXPECTED, NOW)
    with pytest.raises(refusal.RevocationUnknown, match="too old"):
        validate(sent, trusting._replace(crls=[crl(now=NOW - timedelta(days=60))]), EXPECTED, NOW)
    validate(sent, trusting._replace(crls=[]), EXPECTED._replace(needs_crl=False), NOW)
    validate(sent, TrustLists([ISSUED.certificate], [AUTHORITY.certificate]), EXPECTED, NOW)
    with pytest.raises(refusal.CertificateRevoked):
        validate(sent, TrustLists([ISSUED.certificate], crls=[crl(ISSUED.certificate)]), EXPECTED, NOW)


def test_an_application_may_not_issue_certificates() -> None:
    impostor = Authority()
    impostor.certificate = Authority._sign(impostor.name, impostor.key, x509.BasicConstraints(ca=False, path_length=None), issuer=impostor.name, by=impostor.key)  # fmt: skip
    issued = impostor.issue(SERVER)
    with pytest.raises(refusal.CertificateInvalid, match="may not issue"):
        validate([issued.certificate], TrustLists([impostor.certificate]), EXPECTED, NOW)


# ---- the folder --------------------------------------------------------------------------------------------------------------
def pki(folder: Path) -> Pki:
    return Pki(folder / "pki", "urn:shinkei:osaka:gw-01", "Shinkei gateway gw-01", "osaka")


def test_our_own_pair_is_made_once_is_secret_and_is_renewed_with_the_old_one_kept(tmp_path: Path) -> None:
    made = pki(tmp_path).own(NOW)
    store = pki(tmp_path)
    assert store.own(NOW).certificate == made.certificate
    assert stat.S_IMODE((tmp_path / "pki/own/identity.pem").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "pki/own").stat().st_mode) == 0o700
    assert store.own_file.read_bytes() == encoded(made.certificate)
    assert store.previous(NOW) is None
    other = pki(tmp_path)
    renewed = other.renew(NOW)
    assert renewed.uri == made.uri
    assert renewed.key.public_key() != made.key.public_key()
    assert store.own(NOW).certificate == renewed.certificate, "a running gateway takes it up"
    before = store.previous(NOW)
    assert before is not None
    assert before.certificate == made.certificate
    assert store.previous(NOW + timedelta(days=2000)) is None


def test_what_a_person_puts_into_the_folders_counts_and_what_is_unreadable_is_named(tmp_path: Path) -> None:
    store = pki(tmp_path)
    store.own(NOW)
    before = store.stamp()
    (tmp_path / "pki/trusted/plc.pem").write_bytes(SERVER.pem().partition(b"-----BEGIN CERTIFICATE")[1] + SERVER.pem().partition(b"-----BEGIN CERTIFICATE")[2])  # fmt: skip
    (tmp_path / "pki/trusted/broken.der").write_bytes(b"nothing")
    (tmp_path / "pki/issuers/ca.der").write_bytes(encoded(AUTHORITY.certificate))
    (tmp_path / "pki/crl/ca.crl").write_bytes(AUTHORITY.crl(ISSUED.certificate))
    lists, unread = store.lists()
    assert (lists.trusted, lists.issuers, len(lists.crls)) == ([SERVER.certificate], [AUTHORITY.certificate], 1)
    assert [Path(text.partition(": ")[0]).name for text in unread] == ["broken.der"]
    assert store.stamp() != before
    (tmp_path / "pki/own/identity.pem").write_bytes(b"nothing")
    with pytest.raises(refusal.CertificateInvalid, match=r"identity\.pem"):
        store.own(NOW)


def test_a_refused_certificate_is_kept_and_moves_when_it_is_trusted(tmp_path: Path) -> None:
    store = pki(tmp_path)
    kept = store.reject(SERVER.certificate)
    assert (store.reject(SERVER.certificate), kept.parent.name) == (kept, "rejected")
    found = store.rejected(thumbprint(SERVER.certificate))
    assert found == SERVER.certificate
    assert store.rejected("0" * 40) is None
    store.trust(SERVER.certificate, "plc:4840")
    assert not kept.exists()
    assert store.lists()[0].trusted == [SERVER.certificate]
    assert store.known()["plc:4840"].by == "trust"
    store.saw("plc:4840", SERVER.certificate)
    assert store.known()["plc:4840"].by == "trust", "seeing it again does not take the person's word away"


def test_a_server_with_ever_new_certificates_does_not_fill_the_disk(tmp_path: Path) -> None:
    store = pki(tmp_path)
    for _ in range(REJECTED_MOST + 5):
        store.reject(server_identity().certificate)
    assert len(list((tmp_path / "pki/rejected").iterdir())) == REJECTED_MOST


def test_what_ends_soon_is_told_once_a_day_and_our_own_is_renewed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    told: list[Any] = []
    monkeypatch.setattr("shinkei_gateway.opcua.expiry.emit", told.append)
    store, now = pki(tmp_path), [int(NOW.timestamp() * 1e9)]
    soon = server_identity(valid=timedelta(days=29)).certificate
    watch = ExpiryWatch(store, lambda: [("press", soon), ("other", SERVER.certificate)], lambda: now[0])
    watch.look()
    watch.look()
    assert [event.thumbprint for event in told] == [thumbprint(soon)]
    assert not store.has_own(), "who needs no certificate gets none"
    old = store.own(NOW).certificate
    now[0] += int(timedelta(days=1070).total_seconds() * 1e9)
    told.clear()
    watch.look()
    watch.look()
    names = [type(event).__name__ for event in told]
    assert names.count("CertificateRenewed") == 1
    assert store.own(NOW).certificate != old
    assert store.renew(NOW, of=old).certificate == store.own(NOW).certificate, "renewed by another process already"


# ---- endpoints -----------------------------------------------------------------------------------------------------------------
def endpoint(policy: str, mode: int, *tokens: tuple[ua.UserTokenType, str | None], url: str = "opc.tcp://plc-7:4840/ua") -> ua.EndpointDescription:  # fmt: skip
    users = [ua.UserTokenPolicy(PolicyId=f"{kind.name}{at}", TokenType=kind, SecurityPolicyUri=uri) for at, (kind, uri) in enumerate(tokens)]  # fmt: skip
    return ua.EndpointDescription(EndpointUrl=url, SecurityPolicyUri=POLICIES[policy].URI, SecurityMode=ua.MessageSecurityMode(mode), UserIdentityTokens=users)  # fmt: skip


ANONYMOUS, NAME, CERTIFICATE = ua.UserTokenType.Anonymous, ua.UserTokenType.UserName, ua.UserTokenType.Certificate


def test_exactly_the_endpoint_asked_for_is_taken_or_the_error_lists_what_there_is() -> None:
    offers = [endpoint("none", 1, (ANONYMOUS, None)), endpoint("Basic256Sha256", 2, (ANONYMOUS, None), (NAME, None))]
    assert choose(offers, "Basic256Sha256", "sign", "opc.tcp://10.0.0.7:4840") is offers[1]
    with pytest.raises(refusal.EndpointNotOffered) as told:
        choose(offers, "Basic256Sha256", "sign_and_encrypt", "opc.tcp://10.0.0.7:4840")
    assert "none (anonymous); Basic256Sha256 sign (anonymous, user name)" in str(told.value)
    assert isinstance(told.value, NotConnected)
    with pytest.raises(refusal.EndpointNotOffered, match="nothing"):
        choose([], "none", "sign", "opc.tcp://10.0.0.7:4840")


def test_a_person_is_shown_the_certificate_that_the_connection_will_have() -> None:
    """A server with elliptic curves has two; the one that nothing here can use was shown, trusted, and then the other one refused."""
    offers = [endpoint("none", 1), endpoint("Aes128_Sha256_RsaOaep", 3), endpoint("Basic256Sha256", 3)]
    curves = endpoint("Basic256Sha256", 3)
    curves.SecurityPolicyUri, curves.SecurityLevel = (
        "http://opcfoundation.org/UA/SecurityPolicy#ECC_nistP256",
        ua.Byte(9),
    )
    offers.append(curves)
    url = "opc.tcp://plc-7:4840"
    assert shown_first(offers, "Basic256Sha256", "sign_and_encrypt", url) is offers[2]
    assert shown_first(offers, "Aes256_Sha256_RsaPss", "sign", url) is offers[1], "the strongest that could be taken"
    assert shown_first([curves], "Basic256Sha256", "sign", url) is curves


def test_a_server_that_calls_itself_otherwise_is_reached_where_it_was_configured() -> None:
    named = endpoint("none", 1, url="opc.tcp://PLC-7.factory.local:48010/ua/server")
    assert url_at(named, "opc.tcp://10.0.0.7:4840") == "opc.tcp://10.0.0.7:4840/ua/server"
    assert (
        url_at(endpoint("none", 1, url="opc.tcp://PLC-7:1"), "opc.tcp://10.0.0.7:4840/x") == "opc.tcp://10.0.0.7:4840/x"
    )


def test_a_password_is_never_sent_less_protected_than_the_channel_was_asked_to_be() -> None:
    none, basic = POLICIES["none"].URI, POLICIES["Basic256Sha256"].URI
    weak = "http://opcfoundation.org/UA/SecurityPolicy#Basic128Rsa15"
    sign, encrypt = ua.MessageSecurityMode.Sign, ua.MessageSecurityMode.SignAndEncrypt

    def chosen(kind: ua.UserTokenType, mode: ua.MessageSecurityMode, *uris: str | None, channel: str = basic) -> Any:
        return token_policy(endpoint("none", 1, *((kind, uri) for uri in uris)).UserIdentityTokens, kind, channel, mode)

    assert chosen(NAME, sign, None) == ("UserName0", basic)
    assert chosen(NAME, sign, none, basic) == ("UserName1", basic)
    assert chosen(NAME, encrypt, none) == ("UserName0", none)
    assert chosen(NAME, encrypt, none, basic) == ("UserName1", basic)
    assert chosen(CERTIFICATE, encrypt, "") == ("Certificate0", basic)
    assert chosen(ANONYMOUS, sign, none) == ("Anonymous0", none)
    for mode, uris, channel in (
        (sign, [none], basic),
        (encrypt, [weak], basic),
        (ua.MessageSecurityMode.None_, [None], none),
    ):
        with pytest.raises(refusal.TokenNotOffered, match="protects too little"):
            chosen(NAME, mode, *uris, channel=channel)
    with pytest.raises(refusal.TokenNotOffered, match="takes no certificate on this endpoint; it takes user name"):
        token_policy(endpoint("none", 1, (NAME, None)).UserIdentityTokens, CERTIFICATE, basic, encrypt)


@pytest.mark.parametrize("policy", ["Basic256Sha256", "Aes256_Sha256_RsaPss"])
def test_a_password_longer_than_a_block_is_encrypted_in_several(policy: str) -> None:
    client = SecureClient("opc.tcp://plc:4840")
    client.security_policy.peer_certificate = encoded(SERVER.certificate)
    client._server_nonce = b"n" * 32  # type: ignore[assignment]
    sealed, algorithm = client._encrypt_password("鍵" * 150, POLICIES[policy].URI)
    assert algorithm == POLICIES[policy].AsymmetricEncryptionURI
    hash_ = hashes.SHA256() if policy.startswith("Aes256") else hashes.SHA1()
    oaep = padding.OAEP(padding.MGF1(hash_), hash_, None)
    plain = b"".join(SERVER.key.decrypt(sealed[at : at + 256], oaep) for at in range(0, len(sealed), 256))
    assert plain == (450 + 32).to_bytes(4, "little") + "鍵".encode() * 150 + b"n" * 32


# ---- settings ------------------------------------------------------------------------------------------------------------------
def test_security_is_on_unless_none_is_said_by_name_and_a_user_is_whole() -> None:
    plain = {key: value for key, value in settings("opc.tcp://plc:4840").items() if key != "security"}
    assert (strict(plain, OpcuaSource, "x").security, strict(plain, OpcuaSource, "x").mode) == (
        "Basic256Sha256",
        "sign_and_encrypt",
    )
    for user in (
        {},
        {"name": "x"},
        {"name": "x", "certificate": "c.der"},
        {"name": "x", "password": "env:P", "certificate": "c.der", "key": "file:k"},
    ):
        with pytest.raises(BadConfig, match=r"x\.user"):
            check_opcua(strict(plain | {"user": user}, OpcuaSource, "x"), "x")
    check_opcua(strict(plain | {"user": {"name": "x", "password": "env:P"}}, OpcuaSource, "x"), "x")
    for wrong in ({"security": "Basic256"}, {"security": "None"}, {"user": {"name": "x", "password": "secret"}}):
        with pytest.raises(BadConfig) as told:
            strict(plain | wrong, OpcuaSource, "x")
        assert "secret'" not in str(told.value)
