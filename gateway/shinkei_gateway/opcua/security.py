"""What makes one source's connections secure: the policy, both certificates, the user; and what a person has to do when it is refused.

The shell around `endpoints`, `validation` and `pki`. `Security.secure` runs before each connection of `session`; `Security.explain` turns the
server's refusal into one of ours. Nothing here ever falls back to a weaker policy.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from asyncua import ua
from asyncua.ua.uaerrors import UaStatusCodeError
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from msgspec.structs import replace

from shinkei_events.errors import BadConfig, NotConnected
from shinkei_events.settings import PlantFile
from shinkei_events.telemetry import emit
from shinkei_gateway.opcua import refusal
from shinkei_gateway.opcua.certificate import (
    Identity,
    common_name,
    days_left,
    encoded,
    fingerprint,
    read_chain,
    thumbprint,
    utc,
)
from shinkei_gateway.opcua.endpoints import MODES, POLICIES, choose, discover, shown_first, token_policy, url_at
from shinkei_gateway.opcua.named_endpoint import certificate_file, named_endpoint
from shinkei_gateway.opcua.pki import Known, Pki, changed, own_hosts, pki_of
from shinkei_gateway.opcua.secure_client import SecureClient
from shinkei_gateway.opcua.settings import OpcuaSource, OpcuaUser
from shinkei_gateway.opcua.validation import Expected, validate
from shinkei_gateway.telemetry import ConnectionRefused, PkiFileUnreadable

WARN_DAYS = 30.0
_USER_CODES = {"BadUserAccessDenied", "BadIdentityTokenRejected", "BadIdentityTokenInvalid", "BadUserSignatureInvalid"}
_OWN_CODES = {
    "BadSecurityChecksFailed", "BadCertificateUntrusted", "BadCertificateInvalid", "BadCertificateTimeInvalid", "BadCertificateUriInvalid",
    "BadCertificateHostNameInvalid", "BadCertificateUseNotAllowed", "BadCertificateRevoked", "BadCertificateRevocationUnknown",
    "BadCertificateIssuerRevocationUnknown", "BadCertificateChainIncomplete", "BadCertificatePolicyCheckFailed", "BadNoValidCertificates",
    "BadApplicationSignatureInvalid",
}  # fmt: skip


class Security:
    """Of the source ``name``. ``base``: the folder that secrets' files are relative to. ``clock``: ns UTC."""

    def __init__(self, name: str, source: OpcuaSource, pki: Pki, base: Path, *, clock: Callable[[], int] = time.time_ns) -> None:  # fmt: skip
        self.name, self._source, self._base, self._clock = name, source, base, clock
        self._pki = self.pki = pki
        self.url, self.timeout = source.url, float(source.timeout)
        parts = urlsplit(source.url)
        self._host, self.address = parts.hostname or "", f"{parts.hostname}:{parts.port}"
        self._own: Identity | None = None
        self._use_previous = False
        self._good = self._not_taken = ""
        self._server: x509.Certificate | None = None
        self._refused: refusal.SecurityRefused | None = None
        self._stamp: tuple[Any, ...] = ()
        self._unread: set[str] = set()

    def as_user(self, user: OpcuaUser) -> Security:
        """The same for connections of another user to the same server."""
        return Security(self.name, replace(self._source, user=user), self._pki, self._base, clock=self._clock)

    # ---- before a connection -------------------------------------------------------------------------------------------
    async def secure(self, client: Any) -> None:
        """Give ``client`` (a `SecureClient`) its policy, certificates and user. Raises `SecurityRefused`, or `NotConnected` when the server is away."""
        if not isinstance(client, SecureClient):
            raise TypeError("only a SecureClient can be made secure")
        source = self._source
        self._stamp, self._own = self._stamped(), None
        if source.security == "none" and source.user is None:
            return
        own = await asyncio.to_thread(self._identity)
        self._stamp = self._stamped()
        client.application_uri = own.uri
        endpoint = choose(await self.endpoints(), source.security, source.mode, source.url)
        policy = POLICIES[source.security]
        token_uri = policy.URI
        if not self.names_endpoint:
            client.set_url(url_at(endpoint, source.url))
            client.choose(endpoint)
            token = token_policy(endpoint.UserIdentityTokens, _kind(source.user), policy.URI, endpoint.SecurityMode)
            token_uri = token[1]
        if source.security != "none":
            server = self.check(endpoint)
            secured = policy(server, own.certificate, own.key, MODES[source.mode], host_cert_chain=list(own.chain))
            client.security_policy = secured  # type: ignore[assignment]  # the library declares it by its first value
            client.uaclient.set_security(secured)
            client.is_stale = self._is_stale
        elif token_uri != policy.URI:
            # The password is encrypted for the server's certificate: whose it is matters as much as on a secured channel.
            client.expected = encoded(self.check(endpoint))
        self._own = own
        await asyncio.to_thread(self._set_user, client, source.user)

    @property
    def names_endpoint(self) -> bool:
        """plant.toml has all of it; the server is not asked."""
        return self._source.server_certificate is not None

    async def endpoints(self) -> list[ua.EndpointDescription]:
        """What there is to choose from. Raises `NotConnected`, and `SecurityRefused` where asking again does not help."""
        source = self._source
        if self.names_endpoint:
            return [await asyncio.to_thread(named_endpoint, source, self._pki, self._base)]
        return await discover(source.discovery or source.url, source.timeout)

    def to_trust(self, endpoints: Sequence[ua.EndpointDescription]) -> ua.EndpointDescription:
        """The endpoint whose certificate a person is to see."""
        return shown_first(endpoints, self._source.security, self._source.mode, self._source.url)

    def check(self, endpoint: ua.EndpointDescription) -> x509.Certificate:
        """The server's certificate, believed. Raises `SecurityRefused`; what is not trusted is kept in rejected/."""
        sent = read_chain(endpoint.ServerCertificate)
        lists, unread = self._pki.lists()
        for file in set(unread) - self._unread:
            emit(PkiFileUnreadable(file))
        self._unread = set(unread)
        known = self._pki.known().get(self.address)
        uri = endpoint.Server.ApplicationUri or "" if endpoint.Server is not None else ""
        expected = Expected(
            self._host, uri, is_pinned=known is not None and known.by == "trust" and known.thumbprint == thumbprint(sent[0]),
            needs_crl=self._source.revocation == "required", aliases=own_hosts,
        )  # fmt: skip
        try:
            validate(sent, lists, expected, utc(self._clock()))
        except refusal.CertificateUntrusted as error:
            kept = self._pki.reject(sent[0])
            raise self._untrusted(sent[0], known, kept) from error
        self._pki.saw(self.address, sent[0])
        self._server = sent[0]
        return sent[0]

    def _untrusted(self, shown: x509.Certificate, known: Known | None, kept: Path) -> refusal.CertificateUntrusted:
        to_do = f"compare the fingerprint with the server's own, then `shinkei gateway trust {self.name}`"
        what = f"{common_name(shown)}, SHA-1 {thumbprint(shown)}, SHA-256 {fingerprint(shown)}"
        if known is None or known.thumbprint == thumbprint(shown):
            return refusal.CertificateUntrusted(
                f"the server's certificate is not trusted: {what}; kept in {kept}; {to_do}"
            )
        return refusal.CertificateChanged(
            f"{self.address} shows another certificate than before: SHA-1 {known.thumbprint} before, now {what}; kept in {kept}; "
            f"if the server was renewed or replaced: {to_do}; if not, somebody may be in between"
        )

    def _identity(self) -> Identity:
        now = utc(self._clock())
        previous = self._pki.previous(now) if self._use_previous else None
        return previous or self._pki.own(now)

    def _set_user(self, client: SecureClient, user: OpcuaUser | None) -> None:
        if user is None:
            return
        if user.name is not None and user.password is not None:
            client.set_user(user.name)
            client.set_password(user.password.reveal(self._base))
            return
        if user.certificate is None or user.key is None:
            raise BadConfig(f"gateway.sources.{self.name}.user", "", "name and password, or certificate and key")
        try:
            content = (self._base / user.certificate).read_bytes()
            load = x509.load_pem_x509_certificate if b"-----BEGIN" in content else x509.load_der_x509_certificate
            client.user_certificate = load(content)
            client.user_private_key = serialization.load_pem_private_key(user.key.reveal(self._base).encode(), None)
        except (OSError, ValueError, TypeError) as error:
            raise refusal.UserRefused(
                f"the user's certificate {user.certificate} or its key cannot be read: {error}"
            ) from error

    def _is_stale(self) -> bool:
        """Our own certificate is another one since the connection was made, and the server has not refused it yet."""
        with contextlib.suppress(refusal.CertificateInvalid):
            current = thumbprint(self._pki.own(utc(self._clock())).certificate)
            return self._own is not None and current not in {thumbprint(self._own.certificate), self._not_taken}
        return False

    # ---- after a refusal -------------------------------------------------------------------------------------------------
    def explain(self, error: NotConnected) -> NotConnected:
        """``error`` of a connection in our words, told once; `SecurityRefused` when asking again does not help."""
        found = error if isinstance(error, refusal.SecurityRefused) else self._servers_refusal(error)
        if found is None:
            return error
        if self._refused is None or str(self._refused) != str(found):
            emit(ConnectionRefused(self.name, found.status, str(found)))
        self._refused = found
        return found

    def _servers_refusal(self, error: NotConnected) -> refusal.SecurityRefused | None:
        name, source = _status_of(error), self._source
        if name in _USER_CODES:
            who = (
                "anonymous users" if source.user is None else f"the user {source.user.name or source.user.certificate}"
            )
            return refusal.UserRefused(
                f"the server refuses {who} ({name}): correct the user or its secret, here or at the server"
            )
        if name in {"BadSecurityPolicyRejected", "BadSecurityModeRejected"}:
            wanted = source.security if source.security == "none" else f"{source.security} {source.mode}"
            hint = f"`shinkei gateway trust {self.name}` lists what it offers"
            if self.names_endpoint:
                hint = "ask its administrator which policy and mode it has"
            return refusal.EndpointNotOffered(f"the server does not take {wanted} ({name}): {hint}")
        if self._own is None or source.security == "none" or (name and name not in _OWN_CODES):
            return None
        if self._try_previous() or not name:
            return None
        shown = self._pki.own(utc(self._clock())).certificate
        other = f", or it has another certificate than the one named {source.server_certificate}" * self.names_endpoint
        return refusal.OwnCertificateRefused(
            f"the server does not accept our certificate ({name}): have its administrator trust {self._pki.own_file}, "
            f"SHA-1 {thumbprint(shown)}, SHA-256 {fingerprint(shown)}{other}"
        )

    def _try_previous(self) -> bool:
        """Whether the certificate before the last renewal comes next: a server that refuses the new one (or just hangs up) may know it."""
        shown = self._own.certificate if self._own is not None else None
        if self._use_previous or shown is None or thumbprint(shown) == self._good:
            self._use_previous = False
            return False
        before = self._pki.previous(utc(self._clock()))
        self._use_previous = before is not None and before.certificate != shown
        self._not_taken = thumbprint(shown)
        return self._use_previous

    def succeeded(self) -> None:
        """A session is there."""
        self._refused, self._use_previous = None, False
        if self._own is not None:
            self._good = thumbprint(self._own.certificate)

    def is_changed(self) -> bool:
        """Whether a person has done something since the last attempt that may help."""
        return self._refused is not None and self._stamped() != self._stamp

    def _stamped(self) -> tuple[Any, ...]:
        file = certificate_file(self._source, self._base)
        stamps = [secret.stamp(self._base) for secret in _secrets(self._source.user)]
        return (*self._pki.stamp(), *stamps, changed(file) if file is not None else 0)

    # ---- what is said about it -------------------------------------------------------------------------------------------
    def health(self) -> dict[str, Any]:
        """For /health; plain values."""
        now = utc(self._clock())
        told: dict[str, Any] = {"policy": self._source.security}
        if self._source.security != "none":
            told["mode"] = self._source.mode
        for whose, certificate in (("own", self._own.certificate if self._own else None), ("server", self._server)):
            if certificate is not None:
                left = days_left(certificate, now)
                told[whose] = {"sha1": thumbprint(certificate), "days_left": round(left, 1)}
                if left < WARN_DAYS:
                    told.setdefault("warnings", []).append(_expiry(whose, certificate, left))
        if self._refused is not None:
            told["refused"] = {"status": self._refused.status, "why": str(self._refused)}
        return told

    def server_certificate(self) -> x509.Certificate | None:
        """What the server showed at the last connection."""
        return self._server


class Unsecured:
    """In the place of `Security` for a source with security "none" and no user."""

    async def secure(self, client: Any) -> None:
        """Nothing."""

    def as_user(self, user: OpcuaUser) -> Security:
        """There are no secrets here to be another user with. Raises `BadConfig`."""
        raise BadConfig("answers.user", user.name or user.certificate, "a source whose security is known")

    def explain(self, error: NotConnected) -> NotConnected:
        """As it is."""
        return error

    def succeeded(self) -> None:
        """Nothing."""

    def is_changed(self) -> bool:
        """Never."""
        return False

    def health(self) -> dict[str, Any]:
        """For /health."""
        return {"policy": "none"}


def security_of(name: str, source: OpcuaSource, plant: PlantFile, pki: Pki | None = None) -> Security:
    """Of a source of ``plant``."""
    return Security(name, source, pki or pki_of(plant), plant.path.parent)


def _expiry(whose: str, certificate: x509.Certificate, left: float) -> str:
    until = f"{certificate.not_valid_after_utc:%Y-%m-%d}"
    to_do = (
        "`shinkei gateway certificate renew`, then have the servers trust it"
        if whose == "own"
        else "renew it at the server"
    )
    return f"the {whose} certificate {'expires' if left > 0 else 'expired'} on {until}: {to_do}"


def _kind(user: OpcuaUser | None) -> ua.UserTokenType:
    if user is None:
        return ua.UserTokenType.Anonymous
    return ua.UserTokenType.UserName if user.name is not None else ua.UserTokenType.Certificate


def _secrets(user: OpcuaUser | None) -> list[Any]:
    return [] if user is None else [secret for secret in (user.password, user.key) if secret is not None]


def _status_of(error: BaseException | None) -> str:
    """The status code's name that ended in ``error``."""
    while error is not None:
        if isinstance(error, UaStatusCodeError):
            return ua.StatusCode(error.code).name
        error = error.__cause__
    return ""
