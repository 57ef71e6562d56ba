"""Certificates that end soon: told once a day from 30 days before on, and our own self-signed one is renewed in time.

A renewal cuts nobody off: servers that do not know the new certificate are reached with the one before (`security`). Run by the gateway.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable

from cryptography import x509

from shinkei_events.telemetry import emit
from shinkei_gateway.opcua.certificate import days_left, thumbprint, utc
from shinkei_gateway.opcua.pki import Pki
from shinkei_gateway.opcua.refusal import CertificateInvalid
from shinkei_gateway.opcua.security import WARN_DAYS
from shinkei_gateway.telemetry import CertificateExpires, CertificateRenewed

LOOK_EVERY_S = 60.0
TELL_EVERY_NS = 86_400 * 10**9
OURS, THEIRS = "have it issued anew and put it into own/identity.pem", "renew it at the server, then trust the new one"


class ExpiryWatch:
    """``servers``: (source, certificate) of the servers in use. ``clock``: ns UTC."""

    def __init__(
        self, pki: Pki, servers: Callable[[], Iterable[tuple[str, x509.Certificate]]], clock: Callable[[], int]
    ) -> None:
        self._pki, self._servers, self._clock = pki, servers, clock
        self._told: dict[str, int] = {}

    def look(self) -> None:
        """Renew and tell what is due now. Nothing of our own is made here: a site without secured sources has no certificate."""
        now = utc(self._clock())
        for source, certificate in self._servers():
            self._tell(f"the server of {source}", certificate, THEIRS)
        with contextlib.suppress(CertificateInvalid):  # told by the sources that need it
            if not self._pki.has_own():
                return
            own = self._pki.own(now).certificate
            if days_left(own, now) >= WARN_DAYS:
                return
            if own.issuer != own.subject:
                self._tell("the gateway", own, OURS)
                return
            made = self._pki.renew(now, of=own).certificate
            emit(CertificateRenewed(str(self._pki.own_file), thumbprint(made)))

    def _tell(self, whose: str, certificate: x509.Certificate, to_do: str) -> None:
        now, name = self._clock(), thumbprint(certificate)
        left = days_left(certificate, utc(now))
        if left < WARN_DAYS and now - self._told.get(name, -TELL_EVERY_NS) >= TELL_EVERY_NS:
            self._told[name] = now
            emit(CertificateExpires(whose, name, left, to_do))

    async def run(self, done: asyncio.Event) -> None:
        """Until ``done``."""
        while not done.is_set():
            await asyncio.to_thread(self.look)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(done.wait(), LOOK_EVERY_S)
