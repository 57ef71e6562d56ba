"""``gateway.opcua.decode_us``: µs CPU a value to decode a PublishResponse; the library's own decoder on the same bytes in the same run beside it.

The bytes are recorded: what a server of the library sends over TCP to our session, 1000 values a message, value and both times. Three kinds: numbers
alone; numbers, counters, flags and texts one after the other, so that no two neighbours are encoded alike; texts alone. The figure is the dearest kind.
Both decoders' answers are compared value by value first.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import platform
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from asyncua import Server, ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_from_binary

from shinkei_gateway.opcua.decode import decode_publish_response
from shinkei_gateway.opcua.monitored import Monitored
from shinkei_gateway.opcua.plan import Item
from shinkei_gateway.opcua.session import Session
from shinkei_gateway.opcua.structures import Structures
from tests.support.ports import free_port

VALUES = 1000
ROUNDS = 15
URI = "urn:shinkei:bench:decode"
_V = ua.VariantType
_NUMBER, _COUNTER, _FLAG, _TEXT = (_V.Double, 20.5), (_V.UInt32, 7), (_V.Boolean, True), (_V.String, "Press 4: closed")
KINDS = {"numbers": [_NUMBER], "mixed": [_NUMBER, _COUNTER, _FLAG, _TEXT], "texts": [_TEXT]}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


async def recorded(kind: list[tuple[ua.VariantType, Any]]) -> bytes:
    """The body of the first response with values of a server with `VALUES` nodes of these types, one after the other."""
    server, port = Server(), free_port()
    await server.init()
    url = f"opc.tcp://127.0.0.1:{port}/"
    server.set_endpoint(url)
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    index = await server.register_namespace(URI)
    for at in range(VALUES):
        type_, value = kind[at % len(kind)]
        await server.nodes.objects.add_variable(ua.NodeId(f"n{at}", index), f"n{at}", value, type_)
    async with server:
        session = Session(url, "bench", 10.0)
        await session.connect()
        subscription, _, _ = await session.subscribe(0.1, 10.0)
        items = [Item(f"nsu={URI};s=n{at}", "signal", f"n{at}", f"n{at}", 0.1, 10) for at in range(VALUES)]
        assert len(await Monitored(items).watch(session, subscription, range(VALUES))) == VALUES
        body = b""
        async with asyncio.timeout(60):
            while len(body) < VALUES:  # keep-alives come first
                body = bytes(await session.send_publish(subscription, []))
        await session.close(keep=False)
    return body


def compared(body: bytes, structures: Structures) -> int:
    """How many values it holds; AssertionError when the two decoders do not agree on one."""
    ours = decode_publish_response(body, structures)
    (notification,) = struct_from_binary(
        ua.PublishResponse, Buffer(body)
    ).Parameters.NotificationMessage.NotificationData
    assert not ours.bad
    assert len(ours.values) == len(notification.MonitoredItems)
    for (handle, value, status, source, _), theirs in zip(ours.values, notification.MonitoredItems, strict=True):
        assert (handle, value) == (theirs.ClientHandle, theirs.Value.Value.Value)
        assert status == (theirs.Value.StatusCode.value if theirs.Value.StatusCode else 0)
        stamp = theirs.Value.SourceTimestamp
        assert (source is None) == (stamp is None)
        if stamp is not None and source is not None:
            assert abs(source - (stamp.replace(tzinfo=UTC) - _EPOCH).total_seconds() * 1e9) < 2_000
    return len(ours.values)


def cost(decode: Callable[[], object], values: int, calls: int) -> float:
    """µs CPU a value, the best of `ROUNDS`: what other work on the machine costs is not the decoder's."""
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(calls):
            decode()
        best = min(best, (time.process_time() - began) / calls / values * 1e6)
    return best


def main() -> None:
    """Print one JSON object a line."""
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)
    structures, found = Structures(["http://opcfoundation.org/UA/", URI]), {}
    for name, kind in KINDS.items():
        with contextlib.suppress(asyncio.CancelledError):
            body = asyncio.run(recorded(kind))
        values = compared(body, structures)
        ours = cost(lambda body=body: decode_publish_response(body, structures), values, 20)  # type: ignore[misc]
        theirs = cost(lambda body=body: struct_from_binary(ua.PublishResponse, Buffer(body)), values, 2)  # type: ignore[misc]
        found[name] = {"values": values, "bytes": len(body), "us": round(ours, 3), "library_us": round(theirs, 2)}
    worst = max(kind["us"] for kind in found.values())
    conditions = {
        "cpus": os.cpu_count(), "python": platform.python_version(), "asyncua": version("asyncua"), "load_before": os.getloadavg()[0], "kinds": found,
    }  # fmt: skip
    print(json.dumps({"name": "gateway.opcua.decode_us", "value": worst, "unit": "µs/value", "better": "less", "must": 5.0, "aim": 2.0,
                      "conditions": conditions}), flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
