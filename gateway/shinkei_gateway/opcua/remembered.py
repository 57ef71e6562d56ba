"""What must be known to take up an old session with its subscription: kept in a file beside the spool, mode 0600.

The token opens the session: it is as secret as a password, and never shown. What must be exact to the value, the last durable
sequence number, is not here but in the spool's resume state, in one batch with the values.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from shinkei_events.runfile import write_atomic


class Revised(msgspec.Struct, frozen=True, array_like=True):
    """A monitored item at the server: its id there, sampling in s, length of its queue; whether the server takes the wished trigger."""

    item: int
    sampling: float
    queue: int
    has_trigger: bool = True


class Remembered(msgspec.Struct, kw_only=True):
    """``plan``: what the subscription was made for (`fingerprint`). ``publishing``, ``keepalive``, ``timeout``: s, as revised by the server.
    ``started``: of the server, s since 1970 by its clock.

    ``items``: client handle to what the server made of it; ``refused``: client handle to the reason. ``unanswered``: how often in a row
    the server said nothing to the token.
    """

    url: str
    plan: str
    token: bytes = b""
    nonce: bytes | None = None
    certificate: bytes | None = None
    policies: list[tuple[str | None, int, str | None]] = []
    timeout: float = 0.0
    started: float | None = None
    subscription: int = 0
    publishing: float = 0.0
    keepalive: float = 0.0
    items: dict[int, Revised] = {}
    refused: dict[int, str] = {}
    unanswered: int = 0

    def __repr__(self) -> str:
        """Without the token."""
        return f"Remembered({self.url}, subscription {self.subscription}, {len(self.items)} items)"


def fingerprint(parts: object) -> str:
    """One value for a configuration: another one, and the old subscription is of no use."""
    return hashlib.blake2b(msgspec.json.encode(parts), digest_size=16).hexdigest()


def load(path: Path | None, url: str, plan: str) -> Remembered | None:
    """What is in the file, when it is about this server and this plan and can be read."""
    if path is None:
        return None
    try:
        found = msgspec.msgpack.decode(path.read_bytes(), type=Remembered)
    except (OSError, msgspec.MsgspecError):
        return None
    return found if (found.url, found.plan) == (url, plan) else None


def save(path: Path | None, remembered: Remembered) -> None:
    """Replace the file. Raises OSError."""
    if path is not None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomic(path, msgspec.msgpack.encode(remembered))


def forget(path: Path | None) -> None:
    """No file any more."""
    if path is not None:
        path.unlink(missing_ok=True)
