"""Which of a server's endpoints and user tokens are taken: exactly those asked for, or an error that lists what there is. Pure but for `discover`.

Nothing weaker is ever taken instead. Called by `security` and by ``shinkei gateway trust``.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from typing import Literal
from urllib.parse import urlsplit

from asyncua import ua
from asyncua.crypto import security_policies as library
from asyncua.ua.uaerrors import BadSecurityPolicyRejected, BadTcpEndpointUrlInvalid, UaError, UaStatusCodeError

from shinkei_events.errors import NotConnected
from shinkei_gateway.opcua.channel import ChannelClient
from shinkei_gateway.opcua.refusal import EndpointNotOffered, TokenNotOffered
from shinkei_gateway.opcua.why import why

Policy = Literal["none", "Basic256Sha256", "Aes128_Sha256_RsaOaep", "Aes256_Sha256_RsaPss"]
Mode = Literal["sign", "sign_and_encrypt"]

POLICIES: dict[str, type[library.SecurityPolicy]] = {
    "none": library.SecurityPolicyNone,
    "Basic256Sha256": library.SecurityPolicyBasic256Sha256,
    "Aes128_Sha256_RsaOaep": library.SecurityPolicyAes128Sha256RsaOaep,
    "Aes256_Sha256_RsaPss": library.SecurityPolicyAes256Sha256RsaPss,
}
MODES = {"sign": ua.MessageSecurityMode.Sign, "sign_and_encrypt": ua.MessageSecurityMode.SignAndEncrypt}
NONE_URI = library.SecurityPolicyNone.URI
_TOKENS = {
    ua.UserTokenType.Anonymous: "anonymous",
    ua.UserTokenType.UserName: "user name",
    ua.UserTokenType.Certificate: "certificate",
    ua.UserTokenType.IssuedToken: "issued token",
}
_SECRET_BY = [POLICIES[name].URI for name in ("Aes256_Sha256_RsaPss", "Basic256Sha256", "Aes128_Sha256_RsaOaep")]
"""Policies that may protect a password or sign for a user, best first."""
_IN_ENCRYPTED = (NONE_URI, library.SecurityPolicyBasic256.URI)
"""What protects a password no more than the encrypted channel around it does already."""


async def discover(url: str, timeout: float) -> list[ua.EndpointDescription]:  # noqa: ASYNC109  the library's own
    """The endpoints of a server that is no discovery server: of those nothing can be read. Raises `NotConnected`."""
    found = await _asked(url, timeout)
    servers = [
        one for one in found if one.Server is None or one.Server.ApplicationType != ua.ApplicationType.DiscoveryServer
    ]
    if found and not servers:
        what = f"{url} is a discovery server, which lists only its own endpoints (Part 12 §4.2.2)"
        raise EndpointNotOffered(
            f"{what}: name the url at which the machine's server lists them, or its certificate: server_certificate"
        )
    return servers


async def _asked(url: str, timeout: float) -> list[ua.EndpointDescription]:  # noqa: ASYNC109  the library's own
    """GetEndpoints over a channel of its own, which is never secured (Part 4 §5.5.4). Raises `NotConnected`.

    A server that listens below a path answers at ``…/discovery`` (Part 12 §4.2.4), where one may ask without knowing the path. At the path itself
    one that offers only encrypted endpoints may hang up on the open channel (Eclipse Milo 0.6 does).
    """
    try:
        try:
            return await ChannelClient(url, timeout=timeout).connect_and_get_server_endpoints()
        except ConnectionRefusedError:
            raise
        except (BadTcpEndpointUrlInvalid, ConnectionError):
            found = ChannelClient(f"{url.rstrip('/')}/discovery", timeout=timeout)
            return await found.connect_and_get_server_endpoints()
    except UaStatusCodeError as error:
        said = f"the server does not list its endpoints: {ua.StatusCode(error.code).name}"
        if isinstance(error, BadSecurityPolicyRejected):
            raise EndpointNotOffered(
                f"{said}; switch on that it tells them without security (Part 4 §5.5.4), or name its certificate: server_certificate"
            ) from error
        raise NotConnected(said) from error
    except ConnectionRefusedError as error:
        raise NotConnected(why(error)) from error
    except (
        ConnectionError
    ) as error:  # as if it were away; only a person knows whether it just does not want to be asked
        hint = "when it was asked for its endpoints; if it never lists them, name its certificate: server_certificate"
        raise NotConnected(f"{why(error)} {hint}") from error
    except (OSError, TimeoutError, UaError) as error:
        raise NotConnected(why(error)) from error


def choose(endpoints: Sequence[ua.EndpointDescription], policy: str, mode: str, url: str) -> ua.EndpointDescription:
    """The endpoint with exactly this policy and mode; of several the one named like ``url``. One without a URL is at ours. Raises `EndpointNotOffered`."""
    wanted_mode = ua.MessageSecurityMode.None_ if policy == "none" else MODES[mode]
    found = [
        one for one in endpoints
        if one.SecurityPolicyUri == POLICIES[policy].URI and one.SecurityMode == wanted_mode
        and (one.EndpointUrl or "opc.tcp:").startswith("opc.tcp:")
    ]  # fmt: skip
    if not found:
        wanted = "none" if policy == "none" else f"{policy} {mode}"
        raise EndpointNotOffered(
            f"the server does not offer {wanted}; it offers {'; '.join(offered(endpoints)) or 'nothing'}"
        )
    wanted_at = _address(url)
    return max(found, key=lambda one: (*map(operator.eq, _address(one.EndpointUrl), wanted_at), one.SecurityLevel))


def shown_first(
    endpoints: Sequence[ua.EndpointDescription], policy: str, mode: str, url: str
) -> ua.EndpointDescription:
    """The one whose certificate a person is to see: that which would be taken, else the strongest of what could be.

    A server may have several certificates: for elliptic curves, which are taken nowhere here, another one than for RSA.
    """
    try:
        return choose(endpoints, policy, mode, url)
    except EndpointNotOffered:
        known = {one.URI for one in POLICIES.values()}
        could = [one for one in endpoints if one.SecurityPolicyUri in known] or endpoints
        return max(could, key=lambda one: (one.SecurityMode, one.SecurityLevel))


def _address(url: str | None) -> tuple[str | None, int | None]:
    try:
        parts = urlsplit(url or "")
        return parts.hostname, parts.port
    except ValueError:
        return None, None


def url_at(endpoint: ua.EndpointDescription, url: str) -> str:
    """The endpoint's path at the address that was configured: servers name themselves by hosts and ports we may not reach."""
    try:
        path = urlsplit(endpoint.EndpointUrl or "").path
    except ValueError:
        path = ""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}{path or parts.path}"


def offered(endpoints: Iterable[ua.EndpointDescription]) -> list[str]:
    """``policy mode (user tokens)`` of each, in words."""
    words = []
    for one in endpoints:
        policy = (one.SecurityPolicyUri or "").rpartition("#")[2]
        mode = {0: "invalid", 1: "none", 2: "sign", 3: "sign_and_encrypt"}.get(int(one.SecurityMode or 0), "?")
        text = "none" if policy == "None" else f"{policy} {mode}"
        words.append(f"{text} ({_tokens(one.UserIdentityTokens or [])})")
    return list(dict.fromkeys(words))


def _tokens(policies: Iterable[ua.UserTokenPolicy]) -> str:
    return ", ".join(dict.fromkeys(_TOKENS.get(one.TokenType, "?") for one in policies)) or "no user"


def token_policy(policies: Sequence[ua.UserTokenPolicy], kind: ua.UserTokenType, channel: str, mode: ua.MessageSecurityMode) -> tuple[str | None, str]:  # fmt: skip
    """Id and security policy URI of the token to use; ``channel``: the channel's policy URI, meant by a token that names none.

    A password goes encrypted, or as it is through an encrypted channel; a user's certificate always signs. Raises `TokenNotOffered`.
    """
    mine = [(one.PolicyId, one.SecurityPolicyUri or channel) for one in policies or [] if one.TokenType == kind]
    if kind == ua.UserTokenType.Anonymous and (mine or not policies):
        return mine[0] if mine else (None, channel)  # who names no token at all takes a session without (Part 4 §5.7.3)
    for uri in _SECRET_BY:
        for found in mine:
            if found[1] == uri:
                return found
    if kind == ua.UserTokenType.UserName and mode == ua.MessageSecurityMode.SignAndEncrypt:
        for found in mine:
            if found[1] in _IN_ENCRYPTED:
                return found
    if mine:
        ways = ", ".join(sorted({uri.rpartition("#")[2] for _, uri in mine}))
        raise TokenNotOffered(
            f"the server would have the {_TOKENS[kind]} by {ways} on this endpoint, which protects too little: choose sign_and_encrypt, or the server's newer policies"
        )
    raise TokenNotOffered(f"the server takes no {_TOKENS[kind]} on this endpoint; it takes {_tokens(policies or [])}")
