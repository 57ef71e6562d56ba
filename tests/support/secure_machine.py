"""A counting machine behind encrypted endpoints, and certificates of every kind for it. Counts how often it is asked for a session."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from asyncua import Server, ua
from asyncua.common.utils import ServiceError
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.server.user_managers import UserManager
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from shinkei_events.settings import strict
from shinkei_gateway.opcua.certificate import Identity, make_identity, thumbprint
from shinkei_gateway.opcua.pki import Pki
from shinkei_gateway.opcua.security import Security
from shinkei_gateway.opcua.settings import OpcuaSource
from tests.support.counting_machine import CountingMachine, settings

NOW = datetime.now(UTC).replace(microsecond=0)
SERVER_URI = "urn:maker:press:7"
ALL = [
    ua.SecurityPolicyType.NoSecurity,
    ua.SecurityPolicyType.Basic256Sha256_Sign, ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt,
    ua.SecurityPolicyType.Aes128Sha256RsaOaep_Sign, ua.SecurityPolicyType.Aes128Sha256RsaOaep_SignAndEncrypt,
    ua.SecurityPolicyType.Aes256Sha256RsaPss_Sign, ua.SecurityPolicyType.Aes256Sha256RsaPss_SignAndEncrypt,
]  # fmt: skip
KEY = rsa.generate_private_key(65537, 2048)
"""One key for what tests sign: making keys is what takes long."""


def server_identity(uri: str = SERVER_URI, hosts: Iterable[str] = ("127.0.0.1", "localhost"), *, now: datetime = NOW,
                    valid: timedelta = timedelta(days=365), key: rsa.RSAPrivateKey | None = None) -> Identity:  # fmt: skip
    """A self-signed server certificate; each call another one."""
    return make_identity(uri, "Press 7", "maker", list(hosts), now, is_server=True, valid=valid, key=key or KEY)


class Authority:
    """A certificate authority: issues server certificates, revokes them."""

    def __init__(self, name: str = "Plant CA") -> None:
        self.key = rsa.generate_private_key(65537, 2048)
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = self._sign(
            self.name, self.key, x509.BasicConstraints(ca=True, path_length=None), issuer=self.name, by=self.key
        )

    def issue(self, like: Identity, *, now: datetime = NOW) -> Identity:
        """``like``'s names and key, signed by this authority."""
        names = like.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        made = self._sign(like.certificate.subject, like.key, names, x509.BasicConstraints(ca=False, path_length=None), issuer=self.name, by=self.key, now=now)  # fmt: skip
        return Identity(like.key, made)

    def crl(self, *revoked: x509.Certificate, now: datetime = NOW, days: int = 30) -> bytes:
        """DER of the list of what is revoked."""
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.name).last_update(now - timedelta(days=1)).next_update(now + timedelta(days=days))  # fmt: skip
        for one in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(one.serial_number).revocation_date(now).build()
            builder = builder.add_revoked_certificate(entry)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)

    @staticmethod
    def _sign(subject: x509.Name, key: rsa.RSAPrivateKey, *extensions: x509.ExtensionType, issuer: x509.Name, by: rsa.RSAPrivateKey,
              now: datetime = NOW) -> x509.Certificate:  # fmt: skip
        builder = (
            x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=365))
        )  # fmt: skip
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        return builder.sign(by, hashes.SHA256())


class SecureMachine(CountingMachine):
    """``users``: name to password, and thumbprints of users' certificates. ``clients``: thumbprints it trusts (None: all)."""

    def __init__(self, port: int, identity: Identity, *, policies: Iterable[ua.SecurityPolicyType] = ALL, users: dict[str, str] | None = None,
                 tokens: Iterable[type] | None = None, host: str = "127.0.0.1") -> None:  # fmt: skip
        super().__init__(port)
        self.identity, self.policies, self.users, self.host = identity, list(policies), users, host
        self.tokens = list(tokens) if tokens is not None else None
        self.clients: set[str] | None = None
        self.asked = 0
        """How often a session was asked for."""

    async def offer(self, server: Server) -> None:
        await server.set_application_uri(SERVER_URI)
        server.set_security_policy(self.policies)
        server.iserver.certificate, server.iserver.private_key = self.identity.certificate, self.identity.key
        server.set_certificate_validator(self._client)
        server.iserver.user_manager = _Users(self)
        if self.tokens is not None:
            server.set_identity_tokens(self.tokens)
        if self.host != "127.0.0.1":
            server.set_endpoint(f"opc.tcp://{self.host}:{self.port}/")
            server.socket_address = ("127.0.0.1", self.port)

    async def _client(self, certificate: x509.Certificate, _application: ua.ApplicationDescription) -> None:
        self.asked += 1
        if self.clients is not None and thumbprint(certificate) not in self.clients:
            raise ServiceError(ua.StatusCodes.BadCertificateUntrusted)


class _Users(UserManager):
    def __init__(self, machine: SecureMachine) -> None:
        self._machine = machine

    def get_user(self, iserver: Any, username: str | None = None, password: str | None = None, certificate: Any = None) -> User | None:  # fmt: skip
        users = self._machine.users
        wrong = username is not None and users is not None and users.get(username) != password
        return None if wrong else User(role=UserRole.Admin)


def secured(folder: Path, url: str, **more: Any) -> tuple[OpcuaSource, Pki, Security]:
    """A source for the machine at ``url`` with Basic256Sha256, its PKI in ``folder``, and what makes it secure."""
    source = strict(settings(url, **({"security": "Basic256Sha256"} | more)), OpcuaSource, "x")
    pki = Pki(folder / "pki", "urn:shinkei:test:gw", "Shinkei gateway gw", "test")
    return source, pki, Security("src", source, pki, folder)
