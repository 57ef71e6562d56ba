"""Application instance certificates (OPC UA Part 6 §6.2.2): made, read and described. Pure but for the random numbers of a new key.

Knows no folder (`pki`), no trust (`validation`) and no connection.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from shinkei_gateway.opcua.refusal import CertificateInvalid

KEY_BITS = 2048
"""All three policies take 2048 to 4096 (Part 7); a longer key makes every connection of a small controller slow."""
VALID = timedelta(days=1095)
SKEW = timedelta(days=1)
"""Valid from a day ago: the clocks of machines are not ours."""


class Identity(NamedTuple):
    """An application's key and certificate; ``chain``: its issuers', nearest first."""

    key: rsa.RSAPrivateKey
    certificate: x509.Certificate
    chain: tuple[x509.Certificate, ...] = ()

    @property
    def uri(self) -> str:
        """The application URI: what the session must say as well."""
        return application_uri(self.certificate)

    def pem(self) -> bytes:
        """Key, certificate and chain as one file."""
        key = self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return key + b"".join(one.public_bytes(serialization.Encoding.PEM) for one in (self.certificate, *self.chain))


def make_identity(uri: str, name: str, organization: str, hosts: Sequence[str], now: datetime, *, is_server: bool = False,
                  valid: timedelta = VALID, key: rsa.RSAPrivateKey | None = None) -> Identity:  # fmt: skip
    """A self-signed certificate with a new key (some 50 ms), or with ``key``. ``hosts``: DNS names and IP addresses."""
    key = key if key is not None else rsa.generate_private_key(65537, KEY_BITS)
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, name[:64]),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization[:64]),
        ]
    )
    public = key.public_key()
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri), *(_general_name(host) for host in hosts)]
    use = ExtendedKeyUsageOID.SERVER_AUTH if is_server else ExtendedKeyUsageOID.CLIENT_AUTH
    builder = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(public)
        .serial_number(x509.random_serial_number()).not_valid_before(now - SKEW).not_valid_after(now + valid)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(), critical=True)
        .add_extension(x509.ExtendedKeyUsage([use]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
    )  # fmt: skip
    return Identity(key, builder.sign(key, hashes.SHA256()))


def _key_usage() -> x509.KeyUsage:
    """Part 6 §6.2.2, RSA; a self-signed certificate also signs a certificate: its own."""
    return x509.KeyUsage(
        digital_signature=True, content_commitment=True, key_encipherment=True, data_encipherment=True, key_agreement=False,
        key_cert_sign=True, crl_sign=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host.encode("idna").decode())


def read_identity(pem: bytes) -> Identity:
    """Raises `CertificateInvalid` unless it is an RSA key and the certificate that belongs to it, perhaps with issuers."""
    try:
        key = serialization.load_pem_private_key(pem, None)
        certificates = x509.load_pem_x509_certificates(pem)
    except (ValueError, TypeError) as error:
        raise CertificateInvalid(f"no key with its certificate in PEM: {error}") from error
    if not isinstance(key, rsa.RSAPrivateKey):
        raise CertificateInvalid("the key is not RSA; the policies offered here need RSA")
    mine = [one for one in certificates if one.public_key() == key.public_key()]
    if not mine:
        raise CertificateInvalid("none of the certificates belongs to the key")
    return Identity(key, mine[0], tuple(one for one in certificates if one is not mine[0]))


def read_chain(der: bytes | None) -> list[x509.Certificate]:
    """The certificates one after the other in a field of the protocol, the application's own first (Part 6 §6.2.3).

    Raises `CertificateInvalid` for anything else.
    """
    rest, found = bytes(der or b""), []
    while rest:
        size = _der_length(rest)
        try:
            found.append(x509.load_der_x509_certificate(rest[:size]))
        except ValueError as error:
            raise CertificateInvalid(f"certificate {len(found) + 1} of the server cannot be read: {error}") from error
        rest = rest[size:]
    if not found:
        raise CertificateInvalid("the server sends no certificate")
    return found


def _der_length(der: bytes) -> int:
    """Bytes of the first ASN.1 SEQUENCE; more than there are when it is cut."""
    if len(der) < 2 or der[0] != 0x30:
        raise CertificateInvalid("what the server sends as its certificate is none")
    first = der[1]
    return 2 + first if first < 0x80 else 2 + (first & 0x7F) + int.from_bytes(der[2 : 2 + (first & 0x7F)], "big")


def encoded(certificate: x509.Certificate) -> bytes:
    """DER: what is sent, kept and hashed."""
    return certificate.public_bytes(serialization.Encoding.DER)


def thumbprint(certificate: x509.Certificate) -> str:
    """SHA-1 of the certificate, as OPC UA names certificates (Part 4 §7.3): upper-case hex. A name, not a proof."""
    return hashlib.sha1(encoded(certificate), usedforsecurity=False).hexdigest().upper()


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of the certificate: upper-case hex."""
    return hashlib.sha256(encoded(certificate)).hexdigest().upper()


def is_named(certificate: x509.Certificate, wanted: str) -> bool:
    """Whether ``wanted`` is its SHA-1 or SHA-256, with or without colons and spaces."""
    plain = "".join(letter for letter in wanted.upper() if letter not in ": ")
    return plain in {thumbprint(certificate), fingerprint(certificate)}


def _names(certificate: x509.Certificate) -> x509.SubjectAlternativeName | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return None


def application_uri(certificate: x509.Certificate) -> str:
    """The first URI of the subject's alternative names; empty when there is none."""
    names = _names(certificate)
    found = names.get_values_for_type(x509.UniformResourceIdentifier) if names is not None else []
    return found[0] if found else ""


def host_names(certificate: x509.Certificate) -> list[str]:
    """DNS names and IP addresses it is for."""
    names = _names(certificate)
    if names is None:
        return []
    return names.get_values_for_type(x509.DNSName) + [str(ip) for ip in names.get_values_for_type(x509.IPAddress)]


def common_name(certificate: x509.Certificate) -> str:
    """The subject's CN, or its whole subject."""
    found = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else certificate.subject.rfc4514_string()


def days_left(certificate: x509.Certificate, now: datetime) -> float:
    """Until it is no longer valid; negative afterwards."""
    return (certificate.not_valid_after_utc - now) / timedelta(days=1)


def described(certificate: x509.Certificate) -> dict[str, str]:
    """What a person compares before trusting it."""
    return {
        "subject": certificate.subject.rfc4514_string(), "issuer": certificate.issuer.rfc4514_string(),
        "application_uri": application_uri(certificate), "hosts": ", ".join(host_names(certificate)),
        "sha1": thumbprint(certificate), "sha256": fingerprint(certificate),
        "valid_from": certificate.not_valid_before_utc.isoformat(), "valid_to": certificate.not_valid_after_utc.isoformat(),
    }  # fmt: skip


def utc(now: int) -> datetime:
    """``now`` in ns UTC as certificates count time."""
    return datetime.fromtimestamp(now / 1e9, UTC)
