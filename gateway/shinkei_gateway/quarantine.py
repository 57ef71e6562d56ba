"""Records of what could not be understood, with its bytes and the reason. Pure.

The neighbours go on. What is bigger than a record may be is kept as head, length and hash.
"""

from __future__ import annotations

import hashlib
from typing import Any

from shinkei_events.errors import BadField, BadInput
from shinkei_events.model.quarantine import Quarantined
from shinkei_gateway.intake import Draft

HEAD_BYTES = 65_536


def quarantined(source: str, machine: str, where: str, raw: bytes, reason: str, received: int, *, path: str | None = None,
                content_type: str = "application/json", time: int | None = None) -> Draft:  # fmt: skip
    """``raw`` came from ``source`` at ``where`` (node, topic, line) about ``machine`` (the source's name when that is unknown).

    ``time``: its source time where that is known, so that a replay can keep it.
    """
    fields: dict[str, Any] = {
        "source": source,
        "where": where,
        "reason": reason,
        "raw": raw[:HEAD_BYTES],
        "path": path,
        "content_type": content_type,
    }
    if len(raw) > HEAD_BYTES:
        fields |= {"size": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}
    return Draft(machine, received if time is None else time, received, Quarantined, fields)


def refused(
    source: str,
    machine: str,
    where: str,
    raw: bytes,
    error: BadInput,
    received: int,
    content_type: str = "application/json",
    time: int | None = None,
) -> Draft:
    """The record for an error of the language."""
    path = error.path if isinstance(error, BadField) else None
    return quarantined(
        source, machine, where, raw, str(error), received, path=path, content_type=content_type, time=time
    )
