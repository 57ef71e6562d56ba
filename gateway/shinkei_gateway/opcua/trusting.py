"""A person trusts a server: what it shows, how that looks to us, and the certificate's way into trusted/.

Used by ``shinkei gateway trust`` and by the command `Trust`. Asks nobody; whoever calls has the person's yes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from cryptography import x509

from shinkei_events.errors import BadInput
from shinkei_events.model.progress import Command, Trust
from shinkei_gateway.commands import Action
from shinkei_gateway.opcua import refusal
from shinkei_gateway.opcua.certificate import described, is_named, read_chain, thumbprint
from shinkei_gateway.opcua.endpoints import offered
from shinkei_gateway.opcua.security import Security


class Shown(NamedTuple):
    """A server's certificate; ``verdict``: empty when it is believed, else why not; ``offers``: its endpoints in words, none where it is not asked for them."""

    certificate: x509.Certificate
    verdict: str
    offers: list[str]


async def look(security: Security) -> Shown:
    """Ask the server, or take what plant.toml names. Raises `NotConnected`, and `CertificateInvalid` when there is none that can be read."""
    endpoints = await security.endpoints()
    with_certificate = [one for one in endpoints if one.ServerCertificate]
    if not with_certificate:
        raise refusal.CertificateInvalid(
            f"the server shows no certificate; it offers {'; '.join(offered(endpoints)) or 'nothing'}"
        )
    best = security.to_trust(with_certificate)
    verdict = ""
    try:
        security.check(best)
    except refusal.SecurityRefused as error:
        verdict = str(error)
    return Shown(read_chain(best.ServerCertificate)[0], verdict, [] if security.names_endpoint else offered(endpoints))


def actions(source_of: Callable[[str], object | None]) -> dict[type, Action]:
    """What `shinkei_gateway.commands` carries out. ``source_of``: the running source of a name."""

    async def trusted(command: Command) -> dict[str, Any]:
        request = command.request
        assert isinstance(request, Trust)
        security = getattr(source_of(request.source), "security", None)
        if not isinstance(security, Security):
            raise BadInput(f"this gateway has no OPC UA source {request.source!r}")
        return await trust_named(security, request.thumbprint)

    return {Trust: trusted}


async def trust_named(security: Security, wanted: str) -> dict[str, Any]:
    """Trust the certificate with this thumbprint: one that was refused, or the one that the server shows now. Raises `BadInput` for another."""
    certificate = security.pki.rejected("".join(letter for letter in wanted.upper() if letter not in ": "))
    if certificate is None:
        shown = await look(security)
        if not is_named(shown.certificate, wanted):
            raise BadInput(f"the server shows SHA-1 {thumbprint(shown.certificate)}, not {wanted}: nothing was trusted")
        certificate = shown.certificate
    path = security.pki.trust(certificate, security.address)
    return {"trusted": described(certificate), "file": str(path)}
