"""Machines that speak encrypted only, with clients whose certificates they trust: keys, trusted certificates, and a server that asks for them.

The folder is made by others (``shinkei demo``): ``own/<machine>.pem`` is a machine's key and certificate, ``trusted/`` holds the clients'. It is read
again for each client, so that a certificate put there counts at once. Used by `opcua_server`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.crypto import security_policies as library
from asyncua.crypto.permission_rules import PermissionRuleset, User, UserRole
from asyncua.server.internal_session import InternalSession
from asyncua.server.server import Server
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.status_codes import StatusCodes
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from shinkei_events.errors import BadConfig
from shinkei_events.telemetry import emit
from shinkei_plant.address_space import SharedSpaceServer
from shinkei_plant.telemetry import ClientRefused

_SUFFIXES = {".der", ".crt", ".cer", ".pem"}


class Keys:
    """What is in ``folder`` for ``machine``."""

    def __init__(self, folder: Path, machine: str) -> None:
        self._folder, self.machine = folder, machine

    def own(self) -> tuple[Any, x509.Certificate]:
        """The machine's key and certificate. Raises `BadConfig` when they are not there."""
        path = self._folder / "own" / f"{self.machine}.pem"
        try:
            pem = path.read_bytes()
            return serialization.load_pem_private_key(pem, None), x509.load_pem_x509_certificate(pem)
        except (OSError, ValueError, TypeError) as error:
            raise BadConfig(
                "plant.pki", str(path), f"expected the machine's key and its certificate in PEM: {error}"
            ) from error

    def admit(self, shown: bytes | None, now: datetime) -> None:
        """``shown``: the certificate (DER, perhaps issuers after it) that opened the channel; its key has signed that.

        Raises `ServiceError`: what is wrong is told here, not to the client (OPC UA Part 4 §6.1.3).
        """
        if not shown:
            self._refuse("its channel is not encrypted")
        der = bytes(shown)
        known = next((one for one in self._trusted() if der.startswith(_der(one))), None)
        if known is None:
            name = x509.load_der_x509_certificate(der).fingerprint(hashes.SHA1()).hex().upper()  # noqa: S303  a name
            self._refuse(f"its certificate, SHA-1 {name}, is not in {self._folder / 'trusted'}")
        if not known.not_valid_before_utc <= now <= known.not_valid_after_utc:
            self._refuse(f"its certificate is valid until {known.not_valid_after_utc:%Y-%m-%d} only")

    def _refuse(self, why: str) -> NoReturn:
        emit(ClientRefused(self.machine, why))
        raise ServiceError(StatusCodes.BadSecurityChecksFailed)

    def _trusted(self) -> Iterator[x509.Certificate]:
        for path in sorted((self._folder / "trusted").glob("*")):
            if path.suffix.lower() in _SUFFIXES:
                try:
                    content = path.read_bytes()
                    is_pem = b"-----BEGIN" in content
                    yield x509.load_pem_x509_certificate(content) if is_pem else x509.load_der_x509_certificate(content)
                except (OSError, ValueError):
                    continue  # a file that is no certificate trusts nobody


class EncryptedServer(SharedSpaceServer):
    """An `InternalServer` whose sessions are activated over encrypted channels of trusted clients only."""

    keys: Keys

    def create_session(self, name: str, user: User | None = None, external: bool = False) -> InternalSession:
        """See `_Session`."""
        user = user or User(role=UserRole.Anonymous)
        return _Session(self, self.aspace, self.subscription_service, name, user=user, external=external)


class _Session(InternalSession):
    def activate_session(
        self, params: ua.ActivateSessionParameters, peer_certificate: bytes | None
    ) -> ua.ActivateSessionResult:
        self.iserver.keys.admit(peer_certificate, datetime.now(UTC))  # type: ignore[attr-defined]
        return super().activate_session(params, peer_certificate)


class _Nothing(PermissionRuleset):
    """For the open channel: whoever names a trusted certificate there has not shown its key."""

    def check_validity(self, user: User, action_type_id: ua.NodeId, body: Any) -> bool:
        return bool(action_type_id.Identifier == ObjectIds.CloseSecureChannelRequest_Encoding_DefaultBinary)


def encrypt(server: Server, iserver: EncryptedServer, keys: Keys) -> None:
    """Offer Basic256Sha256 with SignAndEncrypt and nothing else; before ``server`` is started. Raises `BadConfig`.

    Endpoints can still be asked for over an open channel, as every client has to (Part 4 §5.5.4). The library lets one open whatever is
    offered, so it is named here with rules of its own.
    """
    iserver.private_key, iserver.certificate = keys.own()
    iserver.keys = keys
    server.set_security_policy([ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt])
    factory: Any = library.SecurityPolicyFactory
    none = ua.MessageSecurityMode.None_
    server._policies.append(factory(library.SecurityPolicyNone, none, permission_ruleset=_Nothing()))


def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)
