"""Why a connection is refused for its security, by us or by the server: one type per reason, none of which goes away by asking again.

Each is a `RetryAfter`: the source waits long and says it once, until a person has done what the message says. The status codes are
those of OPC UA Part 4 §6.1.3 and §7.39. Raised by `validation`, `endpoints` and `security`.
"""

from __future__ import annotations

from typing import ClassVar

from shinkei_events.errors import RetryAfter

OURS_S = 600.0
"""We refuse: only a changed PKI folder or configuration helps, and that is noticed at once."""
THEIRS_S = 60.0
"""The server refuses: its administrator may have acted meanwhile."""
USER_S = 300.0
"""Servers lock users out after a few wrong passwords; IEC 62443-3-3 SR 1.11 asks them to."""


class SecurityRefused(RetryAfter):
    """``status``: the code's name in the specification."""

    status: ClassVar[str] = "BadSecurityChecksFailed"
    pause_s: ClassVar[float] = OURS_S

    def __init__(self, why: str) -> None:
        super().__init__(self.pause_s, why)
        self.args = (why if "(Bad" in why else f"{why} ({self.status})",)


class CertificateInvalid(SecurityRefused):
    """It cannot be read, its signature is wrong, or its chain is not one."""

    status = "BadCertificateInvalid"


class CertificateWeak(SecurityRefused):
    """Its key or the hash it is signed with is too weak for the policy."""

    status = "BadCertificatePolicyCheckFailed"


class CertificateUntrusted(SecurityRefused):
    """Nobody has said that it is trusted."""

    status = "BadCertificateUntrusted"


class CertificateChanged(CertificateUntrusted):
    """The server showed another one before, and nobody has said that this one is trusted."""


class CertificateExpired(SecurityRefused):
    """Its time is over."""

    status = "BadCertificateTimeInvalid"


class CertificateNotYetValid(SecurityRefused):
    """Its time has not begun: it is new, or a clock is wrong."""

    status = "BadCertificateTimeInvalid"


class CertificateHostMismatch(SecurityRefused):
    """It is not for the host we connect to."""

    status = "BadCertificateHostNameInvalid"


class CertificateWrongUri(SecurityRefused):
    """It is another application's."""

    status = "BadCertificateUriInvalid"


class CertificateUseNotAllowed(SecurityRefused):
    """It is not meant for a server."""

    status = "BadCertificateUseNotAllowed"


class CertificateRevoked(SecurityRefused):
    """Its issuer has taken it back."""

    status = "BadCertificateRevoked"


class RevocationUnknown(SecurityRefused):
    """Its issuer's list of revoked certificates is not there, or too old."""

    status = "BadCertificateRevocationUnknown"


class EndpointNotOffered(SecurityRefused):
    """The server has no endpoint with the policy and mode asked for; a weaker one is never taken instead."""

    status = "BadSecurityPolicyRejected"


class TokenNotOffered(SecurityRefused):
    """The server takes no such user, or would have the password in the clear."""

    status = "BadIdentityTokenRejected"


class OwnCertificateRefused(SecurityRefused):
    """The server does not trust us."""

    pause_s = THEIRS_S


class UserRefused(SecurityRefused):
    """The server does not know the user or its password."""

    status = "BadUserAccessDenied"
    pause_s = USER_S
