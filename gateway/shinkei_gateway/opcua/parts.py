"""Requests about many nodes, in parts of the size that the server takes; one that it finds too big is halved, and so are those after it.

Not every server says what it takes (OperationLimits, Part 5 §6.3.11), and a message has a limit besides. One call after the other: an S7-1500
counts its limits over all calls that are outstanding. Used by `session`, `monitored` and `asking`; `walk` halves its own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from asyncua.ua.uaerrors import UaStatusCodeError

from shinkei_events.errors import NotConnected

NOT_DONE = frozenset({0x8010_0000, 0x80B8_0000})
"""BadTooManyOperations, BadRequestTooLarge: of such a request nothing was done."""
TOO_BIG = NOT_DONE | {0x80B9_0000, 0x8080_0000, 0x8008_0000}
"""BadResponseTooLarge, BadTcpMessageTooLarge, BadEncodingLimitsExceeded too: ask for less."""

W = TypeVar("W")
R = TypeVar("R")


async def in_parts(
    wanted: Sequence[W], limits: dict[str, int], kind: str, ask: Callable[[Sequence[W]], Awaitable[list[R]]],
    *, most: int = 1 << 31, codes: frozenset[int] = TOO_BIG,
) -> list[R]:  # fmt: skip
    """The answers of ``ask`` to all parts of ``wanted``. ``limits[kind]``: of one call; made smaller when the server refuses with one of ``codes``.

    Raises what ``ask`` raises for a part that cannot be smaller, or for another reason.
    """
    found: list[R] = []
    at = 0
    while at < len(wanted):
        part = wanted[at : at + min(most, limits.get(kind, most))]
        try:
            found += await ask(part)
        except NotConnected as error:
            cause = error.__cause__
            if len(part) == 1 or not (isinstance(cause, UaStatusCodeError) and cause.code in codes):
                raise
            limits[kind] = len(part) // 2
        else:
            at += len(part)
    return found
