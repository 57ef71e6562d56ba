"""What every source behind an MQTT broker says of the broker in plant.toml, and the `Dial` it becomes. Checked offline."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from shinkei_events.errors import BadConfig
from shinkei_events.settings import Duration, Secret
from shinkei_gateway.mqtt.connection import Dial, Will
from shinkei_gateway.strict import SourceSettings, address

MOST_KEEPALIVE_S = 65_535


class BrokerSettings(SourceSettings, frozen=True, kw_only=True):
    """``url``: mqtt://host:port, or mqtts://host:port for TLS with the host's name checked.

    ``ca``, ``cert``, ``key``: PEM files, written ``file:PATH``; without ``ca`` the system's authorities count. ``client``: our own
    or the paho library.
    """

    url: str
    client_id: str
    client: Literal["own", "paho"] = "own"
    protocol: Literal["3.1.1", "5"] = "3.1.1"
    user: str | None = None
    password: Secret | None = None
    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    key_password: Secret | None = None
    keepalive: Duration = Duration(15.0)
    timeout: Duration = Duration(4.0)


def check_broker(broker: BrokerSettings, where: str) -> None:
    """Raises `BadConfig` with the key below ``where``."""
    address(f"{where}.url", broker.url, "mqtt", "mqtts")
    if not broker.client_id or len(broker.client_id.encode()) > 65_535:
        raise BadConfig(
            f"{where}.client_id", broker.client_id, "a name of its own at the broker: its session hangs on it"
        )
    if not 1 <= broker.keepalive <= MOST_KEEPALIVE_S:
        raise BadConfig(f"{where}.keepalive", float(broker.keepalive), f"1s to {MOST_KEEPALIVE_S}s")
    is_tls = broker.url.startswith("mqtts:")
    for name in ("ca", "cert", "key"):
        value = getattr(broker, name)
        if value is None:
            continue
        if not value.startswith("file:") or value == "file:":
            raise BadConfig(f"{where}.{name}", value, "file:PATH of a PEM file, relative to this file")
        if not is_tls:
            raise BadConfig(f"{where}.{name}", value, "is for mqtts:// only")
    if (broker.cert is None) != (broker.key is None):
        raise BadConfig(f"{where}.cert", broker.cert or "", "cert and key go together")
    if broker.password is not None and broker.user is None:
        raise BadConfig(f"{where}.user", "", "a password goes with a user")


def dial(broker: BrokerSettings, folder: Path, *, keep_session: bool = True, will: Will | None = None) -> Dial:
    """Secrets and certificates read from their files, relative to ``folder``. Raises `BadConfig`."""
    parts = urlsplit(broker.url)
    return Dial(
        parts.hostname or "", parts.port or 0, broker.client_id, broker.protocol, broker.user,
        None if broker.password is None else broker.password.reveal(folder),
        _tls(broker, folder) if parts.scheme == "mqtts" else None,
        float(broker.keepalive), float(broker.timeout), keep_session, will, client=broker.client,
    )  # fmt: skip


def _tls(broker: BrokerSettings, folder: Path) -> ssl.SSLContext:
    """TLS 1.2 or later; the broker's certificate and host name are always checked."""
    ca, cert, key = (_file(folder, value) for value in (broker.ca, broker.cert, broker.key))
    try:
        context = ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        raise BadConfig("ca", broker.ca, f"cannot be read as PEM certificates: {error}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if cert is not None and key is not None:
        secret = None if broker.key_password is None else broker.key_password.reveal(folder)
        try:
            context.load_cert_chain(cert, key, secret or "")
        except (OSError, ssl.SSLError) as error:
            raise BadConfig("cert", broker.cert, f"certificate and key cannot be used: {error}") from error
    return context


def _file(folder: Path, value: str | None) -> str | None:
    return None if value is None else str(folder / value.removeprefix("file:"))
