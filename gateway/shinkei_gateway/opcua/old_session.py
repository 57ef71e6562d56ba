"""The session that a connection before had, taken up on a new channel (Part 4 §5.7.3), and what must be known for it.

Decides nothing about subscriptions (`ladder`) nor about the file (`remembered`). Called by `session`.
"""

from __future__ import annotations

from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import nodeid_from_binary, nodeid_to_binary
from asyncua.ua.uaerrors import UaError

from shinkei_events.errors import NotConnected
from shinkei_gateway.opcua.remembered import Remembered
from shinkei_gateway.opcua.secure_client import SecureClient

SILENT_MAX = 3
"""So many times in a row is no fault of the network: the channel was just opened over it."""


async def activate(client: SecureClient) -> None:
    """The session that the client has is its user's. Raises what the library does."""
    await client.activate_session(client._username, client._password, client.user_certificate)


async def take_up(client: SecureClient, remembered: Remembered) -> bool:
    """ActivateSession with the old token: whether the session is ours again. The server proves nothing by it, the channel has done that.

    A token that is refused is emptied, and one that the server has kept silent about `SILENT_MAX` times: the subscription can still be
    transferred. Raises `TimeoutError` before.
    """
    policy = client.security_policy
    client.uaclient.session.restore_authentication_token(nodeid_from_binary(Buffer(remembered.token)))
    client._server_nonce = remembered.nonce  # type: ignore[assignment]
    client._policy_ids = [
        ua.UserTokenPolicy(PolicyId=name, TokenType=ua.UserTokenType(kind), SecurityPolicyUri=uri)
        for name, kind, uri in remembered.policies
    ]
    if not policy.peer_certificate:
        policy.peer_certificate = remembered.certificate
    try:
        await activate(client)
    except TimeoutError:
        remembered.unanswered += 1
        if remembered.unanswered >= SILENT_MAX:
            remembered.token, remembered.unanswered = b"", 0
        raise
    except (OSError, UaError, NotConnected):  # the last: the old session's tokens have none for this user
        remembered.token = b""  # also when the server hangs up: the next attempt begins with a new session
        client.uaclient.session.reset_authentication_token()
        client._server_nonce = None
        return False
    client.session_timeout = int(remembered.timeout * 1000)
    remembered.unanswered = 0
    return True


def write_down(client: SecureClient, into: Remembered) -> None:
    """What `take_up` needs of the session that the client has."""
    into.token = nodeid_to_binary(client.uaclient.session.authentication_token)
    into.nonce, into.certificate = client._server_nonce, client.security_policy.peer_certificate
    into.policies = [(p.PolicyId, int(p.TokenType), p.SecurityPolicyUri) for p in client._policy_ids or []]
    into.timeout = client.session_timeout / 1000


def is_guessable(token: bytes) -> bool:
    """Whether a server counts its tokens: one that was started anew gives the same again, to another client.

    A token should be random (Part 4 §5.7.2); a GUID or an opaque one (Part 6 §5.2.2.9) is taken to be.
    """
    return nodeid_from_binary(Buffer(token)).NodeIdType not in (ua.NodeIdType.Guid, ua.NodeIdType.ByteString)
