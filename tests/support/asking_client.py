"""A connected client of the OPC UA library as what the gateway's asking modules need of a session."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from asyncua import Client, ua


class AskingClient:
    """See `shinkei_gateway.opcua.asking.Asks`. ``calls``: names of the requests made."""

    def __init__(self, client: Client, limits: dict[str, int] | None = None) -> None:
        self._client = client
        self.namespaces: list[str] = []
        self.limits = limits or {}
        self.calls: list[str] = []

    def resolve(self, node: str) -> ua.NodeId:
        uri, _, rest = node.removeprefix("nsu=").partition(";") if node.startswith("nsu=") else ("", "", node)
        index = self.namespaces.index(uri) if uri in self.namespaces else 0
        if uri and not index:
            raise KeyError(uri)
        found: ua.NodeId = ua.NodeId.from_string(f"ns={index};{rest}")
        return found

    async def answer(self, request: Any) -> bytes:
        self.calls.append(type(request).__name__)
        protocol = self._client.uaclient.protocol
        assert protocol is not None
        return bytes(await protocol.send_request(request))


@asynccontextmanager
async def asking(url: str, limits: dict[str, int] | None = None) -> AsyncIterator[AskingClient]:
    """Connected to ``url``."""
    async with Client(url, timeout=60) as client:
        made = AskingClient(client, limits)
        made.namespaces = await client.get_namespace_array()
        yield made
