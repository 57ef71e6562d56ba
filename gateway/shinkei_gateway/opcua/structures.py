"""Structures of a server as JSON objects. Pure.

A structure whose definition is not known stays what it is: its type and its bytes.
"""

from __future__ import annotations

import base64

from shinkei_events.model.frame import Value
from shinkei_gateway.opcua.binary import Scope


class Structures:
    """What one server calls its types. ``namespaces``: its URIs by index, as read at this connect."""

    def __init__(self, namespaces: list[str]) -> None:
        self.namespaces = namespaces

    def value(self, scope: Scope, type_id: str, body: bytes) -> Value:
        """See `binary.Bodies`."""
        return {"type_id": type_id, "body": base64.b64encode(body).decode()}
