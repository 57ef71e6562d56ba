"""Makes the connection that the settings ask for: the one place that knows which clients there are."""

from __future__ import annotations

from collections.abc import Callable

from shinkei_gateway.mqtt.client import PahoConnection
from shinkei_gateway.mqtt.connection import Connection, Dial
from shinkei_gateway.mqtt.own import OwnConnection


def connection(dial: Dial, clock: Callable[[], int]) -> Connection:
    """A fresh connection, not connected. ``clock``: ns UTC."""
    return OwnConnection(dial, clock) if dial.client == "own" else PahoConnection(dial, clock)
