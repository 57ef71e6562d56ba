"""An endpoint that plant.toml names completely: policy, mode and the server's certificate. Such a server is never asked for its endpoints.

For servers whose discovery is closed: the first channel is a secured one. Whether the certificate is believed is decided where all are
(`validation`): naming it says which server is meant, not that it is trusted. Called by `security` before each connection.
"""

from __future__ import annotations

import re
from pathlib import Path

from asyncua import ua
from cryptography import x509

from shinkei_gateway.opcua.certificate import application_uri, encoded, is_named
from shinkei_gateway.opcua.endpoints import MODES, POLICIES
from shinkei_gateway.opcua.pki import Pki, certificates
from shinkei_gateway.opcua.refusal import CertificateInvalid, CertificateUntrusted
from shinkei_gateway.opcua.settings import OpcuaSource

_THUMBPRINT = re.compile(r"(?:[0-9a-f]{40}|[0-9a-f]{64})", re.IGNORECASE)
"""SHA-1 or SHA-256, when colons and spaces are left out."""


def named_endpoint(source: OpcuaSource, pki: Pki, base: Path) -> ua.EndpointDescription:
    """What the server would have listed, as far as the channel needs it; which users it takes it says in the session.

    Raises `CertificateInvalid` for a file that holds none, `CertificateUntrusted` for a thumbprint of none in trusted/.
    """
    chain = _chain(source.server_certificate or "", pki, base)
    return ua.EndpointDescription(
        EndpointUrl=source.url, SecurityMode=MODES[source.mode], SecurityPolicyUri=POLICIES[source.security].URI,
        ServerCertificate=b"".join(encoded(one) for one in chain),
        Server=ua.ApplicationDescription(ApplicationUri=application_uri(chain[0])),
    )  # fmt: skip


def certificate_file(source: OpcuaSource, base: Path) -> Path | None:
    """The file that is named; None when there is none, or a thumbprint."""
    named = source.server_certificate
    return None if named is None or _is_thumbprint(named) else base / named


def _chain(named: str, pki: Pki, base: Path) -> list[x509.Certificate]:
    if _is_thumbprint(named):
        found = [one for one in pki.lists()[0].trusted if is_named(one, named)]
        if not found:
            where = f"no certificate in {pki.folder / 'trusted'} has it: put the server's there, or correct it"
            raise CertificateUntrusted(f"server_certificate is the thumbprint {named}, and {where}")
        return found[:1]
    path = base / named
    try:
        found = certificates(path.read_bytes())
    except (OSError, ValueError) as error:
        raise CertificateInvalid(
            f"server_certificate {path} cannot be read: {error}; put the server's certificate there (DER or PEM)"
        ) from error
    return found


def _is_thumbprint(named: str) -> bool:
    return _THUMBPRINT.fullmatch(named.replace(":", "").replace(" ", "")) is not None
