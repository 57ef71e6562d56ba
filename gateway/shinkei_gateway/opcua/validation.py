"""Whether a server's certificate may be believed: the steps of OPC UA Part 4 §6.1.3 over certificates and lists. Pure.

Raises the `refusal` of the first step that fails. Knows no folder (`pki`) and no connection. Called by `security` before each connection.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import pairwise
from typing import NamedTuple, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from shinkei_gateway.opcua import refusal
from shinkei_gateway.opcua.certificate import application_uri, common_name, host_names, thumbprint

MIN_BITS, MAX_BITS = 2048, 4096
"""Part 7: MinAsymmetricKeyLength and MaxAsymmetricKeyLength of all three policies."""
MAX_CHAIN = 8
_STRONG = {"sha224", "sha256", "sha384", "sha512", "sha3-256", "sha3-384", "sha3-512"}
_LOOPBACK = ("localhost", "127.0.0.1", "::1")

T = TypeVar("T", bound=x509.ExtensionType)


class TrustLists(NamedTuple):
    """``trusted``: applications and issuers that are trusted; ``issuers``: only to complete chains."""

    trusted: Sequence[x509.Certificate] = ()
    issuers: Sequence[x509.Certificate] = ()
    crls: Sequence[x509.CertificateRevocationList] = ()


class Expected(NamedTuple):
    """What the certificate must be for.

    ``uri``: the endpoint's application URI. ``is_pinned``: a person has trusted this very certificate for this address, names and use seen
    (the steps that Part 4 lets an administrator suppress). ``needs_crl``: an issuer without a list of revoked ones is no issuer.
    ``aliases``: this machine's own names, for addresses of the loopback; asked for only when they matter (a resolver may take seconds).
    """

    host: str
    uri: str
    is_pinned: bool = False
    needs_crl: bool = True
    aliases: Callable[[], Sequence[str]] = tuple


def validate(sent: Sequence[x509.Certificate], lists: TrustLists, expected: Expected, now: datetime) -> None:
    """``sent``: the server's certificate, then perhaps its issuers'. Raises a `SecurityRefused`."""
    leaf = sent[0]
    chain = _chain(leaf, [*sent[1:], *lists.issuers, *lists.trusted])
    _strength(chain)
    is_known = leaf in lists.trusted
    if not is_known and not any(one in lists.trusted for one in chain[1:]):
        above = "" if _is_root(chain[-1]) else f"; its issuer {chain[-1].issuer.rfc4514_string()} is not known either"
        raise refusal.CertificateUntrusted(f"the certificate of {_called(leaf)} is not trusted{above}")
    _times(chain, now)
    if not expected.is_pinned:
        _host(leaf, expected)
    _uri(leaf, expected.uri)
    if not expected.is_pinned:
        _use(leaf)
    _revocation(chain, lists.crls, now, needed=expected.needs_crl and not is_known)


def _called(certificate: x509.Certificate) -> str:
    return f"{common_name(certificate)} (SHA-1 {thumbprint(certificate)})"


def _is_root(certificate: x509.Certificate) -> bool:
    return certificate.issuer == certificate.subject


def _chain(leaf: x509.Certificate, known: Sequence[x509.Certificate]) -> list[x509.Certificate]:
    """From ``leaf`` up to a self-signed certificate, or as far as issuers are known. Every signature in it is right."""
    chain = [leaf]
    while not _is_root(chain[-1]):
        issuers = [one for one in known if one.subject == chain[-1].issuer]
        signed = next((one for one in issuers if _signed(chain[-1], one)), None)
        if signed is None and issuers:
            raise refusal.CertificateInvalid(f"{_called(chain[-1])} was not signed by the issuer that it names")
        if signed is None:
            return chain
        _may_sign(signed, len(chain) - 1)
        chain.append(signed)
        if len(chain) > MAX_CHAIN:
            raise refusal.CertificateInvalid(f"the chain of {_called(leaf)} has more than {MAX_CHAIN} certificates")
    if not _signed(chain[-1], chain[-1]):
        raise refusal.CertificateInvalid(f"the signature of {_called(chain[-1])} is wrong")
    return chain


def _signed(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm):
        return False
    return True


def _may_sign(issuer: x509.Certificate, below: int) -> None:
    """``below``: how many issuers stand between it and the application."""
    basic = _extension(issuer, x509.BasicConstraints)
    usage = _extension(issuer, x509.KeyUsage)
    if basic is None or not basic.ca or (usage is not None and not usage.key_cert_sign):
        raise refusal.CertificateInvalid(f"{_called(issuer)} may not issue certificates, but it did")
    if basic.path_length is not None and below > basic.path_length:
        raise refusal.CertificateInvalid(f"the chain below {_called(issuer)} is longer than it allows")


def _strength(chain: Sequence[x509.Certificate]) -> None:
    key = chain[0].public_key()
    bits = key.key_size if isinstance(key, rsa.RSAPublicKey) else 0
    if not MIN_BITS <= bits <= MAX_BITS:
        found = f"an RSA key of {bits} bits" if bits else "a key that is not RSA"
        raise refusal.CertificateWeak(
            f"{_called(chain[0])} has {found}; the policy needs RSA with {MIN_BITS} to {MAX_BITS} bits: make the server a new certificate"
        )
    for one in chain:
        if _is_root(one) and one is not chain[0]:
            continue  # what a root says of itself proves nothing, so its hash does not matter
        hash_ = one.signature_hash_algorithm
        if hash_ is None or hash_.name not in _STRONG:
            raise refusal.CertificateWeak(
                f"{_called(one)} is signed with {hash_.name if hash_ else 'an unknown hash'}; the policy needs SHA-256: make the server a new certificate"
            )


def _times(chain: Sequence[x509.Certificate], now: datetime) -> None:
    for one in chain:
        if now > one.not_valid_after_utc:
            raise refusal.CertificateExpired(
                f"the certificate of {_called(one)} expired on {one.not_valid_after_utc:%Y-%m-%d %H:%M} UTC: renew it at the server, then trust the new one"
            )
        if now < one.not_valid_before_utc:
            raise refusal.CertificateNotYetValid(
                f"the certificate of {_called(one)} is valid only from {one.not_valid_before_utc:%Y-%m-%d %H:%M} UTC on, it is {now:%Y-%m-%d %H:%M} here: compare the clocks"
            )


def _host(leaf: x509.Certificate, expected: Expected) -> None:
    named = host_names(leaf)
    plain = {_plain(name) for name in named}
    is_local = _plain(expected.host) in _LOOPBACK
    is_named = not plain.isdisjoint(_LOOPBACK if is_local else {_plain(expected.host)})
    if not is_named and not (is_local and not plain.isdisjoint(_plain(alias) for alias in expected.aliases())):
        raise refusal.CertificateHostMismatch(
            f"the certificate of {_called(leaf)} is for {', '.join(named) or 'no host at all'}, not for {expected.host}: "
            "write that name into the url, or compare the fingerprint and trust it for this address with `shinkei gateway trust`"
        )


def _plain(host: str) -> str:
    try:
        return str(ipaddress.ip_address(host.strip("[]")))
    except ValueError:
        return host.rstrip(".").lower()


def _uri(leaf: x509.Certificate, uri: str) -> None:
    found = application_uri(leaf)
    if not uri or found != uri:
        raise refusal.CertificateWrongUri(
            f"the certificate of {_called(leaf)} is for the application {found or 'without a URI'}, the server says it is {uri or 'none'}: "
            "make the server a certificate with its own application URI"
        )


def _use(leaf: x509.Certificate) -> None:
    usage = _extension(leaf, x509.KeyUsage)
    extended = _extension(leaf, x509.ExtendedKeyUsage)
    missing = []
    if usage is not None and not (usage.digital_signature and (usage.key_encipherment or usage.data_encipherment)):
        missing.append("signing and encryption")
    allowed = {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
    if extended is not None and not allowed & set(extended):
        missing.append("a server")
    if missing:
        raise refusal.CertificateUseNotAllowed(
            f"the certificate of {_called(leaf)} is not meant for {' and '.join(missing)}: make the server a new one, or trust it for this address"
        )


def _revocation(
    chain: Sequence[x509.Certificate], crls: Sequence[x509.CertificateRevocationList], now: datetime, *, needed: bool
) -> None:
    for one, issuer in pairwise(chain):
        found = [crl for crl in crls if crl.issuer == issuer.subject and crl.is_signature_valid(issuer.public_key())]  # type: ignore[arg-type]
        if any(crl.get_revoked_certificate_by_serial_number(one.serial_number) is not None for crl in found):
            raise refusal.CertificateRevoked(f"the certificate of {_called(one)} was revoked by {common_name(issuer)}")
        fresh = [crl for crl in found if crl.next_update_utc is None or crl.next_update_utc >= now]
        if needed and not fresh:
            which = (
                "the list of certificates revoked by" if not found else "too old is the list of certificates revoked by"
            )
            raise refusal.RevocationUnknown(
                f'{which} {common_name(issuer)}{" is not in crl/" if not found else ""}: put a fresh one there, or say revocation = "when_known"'
            )


def _extension(certificate: x509.Certificate, kind: type[T]) -> T | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except (x509.ExtensionNotFound, ValueError):
        return None
