"""The STATE message of a primary host (Sparkplug 3.0, 4.1 and 5.9): a birth and a death that tell edge nodes whether it is there. Pure."""

from __future__ import annotations

import msgspec

from shinkei_gateway.mqtt.connection import Will
from shinkei_gateway.sparkplug.topic import state

QOS = 1


class _State(msgspec.Struct):
    online: bool
    timestamp: int


class _Said(msgspec.Struct):
    """What others say in our name; whether they give it a time, and of what type, is theirs."""

    online: bool


_decoder = msgspec.json.Decoder(_Said)


def payload(online: bool, timestamp: int) -> bytes:
    """``timestamp``: ms UTC; a birth has that of the will of its own CONNECT (tck-id-host-topic-phid-birth-payload-timestamp)."""
    return msgspec.json.encode(_State(online, timestamp))


def will(host_id: str, timestamp: int) -> Will:
    """What the broker says for a host that is gone (tck-id-operational-behavior-host-application-connect-will-*)."""
    return Will(state(host_id), payload(False, timestamp), QOS, True)


def is_offline(raw: bytes) -> bool:
    """Whether a STATE message says that the host is not there; what cannot be read says nothing."""
    try:
        return not _decoder.decode(raw).online
    except (msgspec.MsgspecError, UnicodeError):
        return False
