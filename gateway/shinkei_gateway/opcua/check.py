"""What `shinkei check --connect` asks of an OPC UA server beyond its nodes. Reads only; called by `shinkei_gateway.check`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from asyncua import ua

from shinkei_gateway.opcua.session import Session

CURRENT_TIME = ua.NodeId(ua.Int32(2258))
"""Server_ServerStatus_CurrentTime (Part 5 §6.3.1, Part 6 A)."""


async def clock_skew(session: Session, clock: Callable[[], int]) -> int | None:
    """ns that the server's clock is ahead of ours (negative: behind), to half the time of a request; None when it does not say.

    ``clock``: ns UTC. Raises `NotConnected`.
    """
    before = clock()
    (found,) = await session.read([CURRENT_TIME])
    after = clock()
    value = found.Value.Value if found.Value is not None else None
    if not isinstance(value, datetime):
        return None
    told = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    return int(told.timestamp() * 1e9) - (before + after) // 2


def clock_problems(skew: int | None, limit: float) -> list[str]:
    """What is wrong with a clock that is off by ``skew`` ns; ``limit`` in s. Nothing is corrected, so it has to be set right there.

    >>> clock_problems(90_000_000_000, 5.0)
    ['its clock is +90 s off, allowed are 5 s: set it by NTP, its times are kept as they are']
    >>> clock_problems(-1_000_000_000, 5.0)
    []
    """
    if skew is None or abs(skew) <= limit * 1e9:
        return []
    return [
        f"its clock is {skew / 1e9:+.3g} s off, allowed are {limit:g} s: set it by NTP, its times are kept as they are"
    ]
