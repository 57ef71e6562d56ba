"""The library's client with the parts of the specification that it leaves out: which user token, long passwords, nonces, a renewed certificate.

Decides nothing about trust (`security`). Used by `session` for every connection, secured or not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlparse

from asyncua import ua
from asyncua.crypto import security_policies as library
from asyncua.ua.ua_binary import Primitives
from asyncua.ua.uaerrors import UaError
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from shinkei_gateway.opcua.channel import ChannelClient
from shinkei_gateway.opcua.endpoints import token_policy

MIN_NONCE = 32
"""Bytes of the server's nonce at least (Part 4 §5.7.2)."""
_SHA1 = ("http://www.w3.org/2001/04/xmlenc#rsa-oaep", hashes.SHA1())  # noqa: S303  OAEP does not rest on its hash
_ENCRYPTION = {
    library.SecurityPolicyAes256Sha256RsaPss.URI: (
        "http://opcfoundation.org/UA/security/rsa-oaep-sha2-256",
        hashes.SHA256(),
    )
}
"""How a policy encrypts (Part 7 §6.6); the others that are taken here do as `_SHA1`. A block of OAEP loses 2 bytes and twice its hash."""


class SecureClient(ChannelClient):
    """``is_stale``: whether another certificate of ours should be used from now on; asked when the channel is renewed.

    ``expected``: the server's certificate (DER) where the channel does not prove it: a password is encrypted for no other.
    """

    def __init__(self, url: str, timeout: float = 4) -> None:
        super().__init__(url, timeout=timeout)
        self.is_stale: Callable[[], bool] = lambda: False
        self.expected: bytes | None = None
        self._ask_session = self.uaclient.create_session
        self.uaclient.create_session = self._named  # type: ignore[method-assign]

    async def _named(self, parameters: ua.CreateSessionParameters) -> ua.CreateSessionResult:
        """An endpoint without a URL is the one that was asked for: the library fails at it in a way of its own."""
        made = await self._ask_session(parameters)
        made.ServerEndpoints = made.ServerEndpoints or []
        for endpoint in made.ServerEndpoints:
            endpoint.EndpointUrl = endpoint.EndpointUrl or parameters.EndpointUrl
        return made

    async def open_secure_channel(self, renew: bool = False) -> None:
        """A renewal must show the certificate that opened the channel (Part 4 §5.6.2), so a new one needs a new channel."""
        if renew and self.is_stale():
            raise UaError("our own certificate was renewed; a new connection uses it")
        await super().open_secure_channel(renew)

    async def create_session(self) -> ua.CreateSessionResult:
        """Raises `UaError` also when the server does not prove that it has its certificate's key."""
        try:
            made = await super().create_session()
        except InvalidSignature as error:
            raise UaError("the server's signature is wrong: it has no key for its certificate") from error
        if self.security_policy.Mode != ua.MessageSecurityMode.None_ and len(self._server_nonce or b"") < MIN_NONCE:
            raise UaError(f"the server's nonce is shorter than {MIN_NONCE} bytes (BadNonceInvalid)")
        return made

    async def activate_session(
        self, username: str | None = None, password: str | None = None, certificate: Any = None
    ) -> ua.ActivateSessionResult:
        """As the user that was set, unless another is given. Raises `TokenNotOffered` rather than send a password unprotected."""
        shown = self.security_policy.peer_certificate
        if self.expected is not None and shown and shown != self.expected:
            raise UaError("the server shows another certificate in the session than in its endpoints")
        if (
            self.expected is not None
        ):  # open62541 shows none in a session without security, and takes passwords for its own
            self.security_policy.peer_certificate = self.expected
        return await super().activate_session(
            username or self._username, password or self._password, certificate or self.user_certificate
        )

    def server_policy(self, token_type: ua.UserTokenType) -> ua.UserTokenPolicy:
        """Of the tokens that the server named inside the secured channel, never of those it named before."""
        channel = self.security_policy
        name, uri = token_policy(self._policy_ids, token_type, channel.URI, channel.Mode)
        return ua.UserTokenPolicy(PolicyId=name, TokenType=token_type, SecurityPolicyUri=uri)

    def _encrypt_password(self, password: str, policy_uri: str) -> tuple[bytes, str]:
        """Length, password and nonce in as many blocks as it takes (Part 4 §7.40.2.2)."""
        key = x509.load_der_x509_certificate(self.security_policy.peer_certificate or b"").public_key()
        if not isinstance(key, rsa.RSAPublicKey):
            raise UaError("the server's key is not RSA")
        algorithm, hash_ = _ENCRYPTION.get(policy_uri, _SHA1)
        plain = Primitives.Bytes.pack(password.encode() + (self._server_nonce or b""))
        size = key.key_size // 8 - 2 - 2 * hash_.digest_size
        oaep = padding.OAEP(padding.MGF1(hash_), hash_, None)
        return b"".join(key.encrypt(plain[at : at + size], oaep) for at in range(0, len(plain), size)), algorithm

    def set_url(self, url: str) -> None:
        """What the server is asked for; the path is known after the endpoints are."""
        self._server_url = urlparse(url)
