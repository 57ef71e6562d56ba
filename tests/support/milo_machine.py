"""A machine that counts, served by Eclipse Milo (`java_peer`, ``milo/Machine.java``)."""

from __future__ import annotations

from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from shinkei_gateway.opcua.certificate import Identity, encoded
from tests.support.java_peer import JavaPeer

URI = "urn:milo:server"
NODE = "nsu=urn:milo:machine;s=count"


class MiloMachine:
    """Listens at ``port`` below ``/machine``; counts every ``period_ms``. ``client``: the only certificate that it trusts."""

    def __init__(self, port: int, folder: Path, identity: Identity, client: x509.Certificate, period_ms: int) -> None:
        (folder / "trusted" / "certs").mkdir(parents=True)
        (folder / "trusted" / "certs" / "client.der").write_bytes(encoded(client))
        (folder / "certificate.der").write_bytes(encoded(identity.certificate))
        der = serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        (folder / "key.der").write_bytes(identity.key.private_bytes(*der))
        self._peer = JavaPeer("milo", "Machine", "sdk-server", [str(port), str(folder), str(period_ms)], heap_mb=192)

    def listens(self) -> None:
        """Wait until it does."""
        self._peer.says("listens")

    def stop(self) -> None:
        """End it."""
        self._peer.kill()
