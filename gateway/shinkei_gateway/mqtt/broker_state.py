"""What an MQTT broker publishes about itself under ``$SYS``: read as mosquitto gives it, retained, in words and numbers. Pure but for `look`.

No standard says what stands there; other brokers use other names or none, and many let no client read it: then nothing is known, which
is no error. Used by ``check --connect`` and by `broker_watch`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from shinkei_events.errors import NotConnected
from shinkei_gateway.mqtt.connection import Connection, Dial, Limits, Message
from shinkei_gateway.mqtt.dial import connection as connection_of

LOOK_S = 2.0
"""Retained messages come with the subscription; a broker that has none is waited for so long."""
_BASE = "$SYS/broker/"
_VERSION, _UPTIME = f"{_BASE}version", f"{_BASE}uptime"
_DROPPED, _EXPIRED = f"{_BASE}publish/messages/dropped", f"{_BASE}clients/expired"
FILTERS = (_VERSION, _UPTIME, _DROPPED, _EXPIRED)
"""mosquitto(8), "Broker status": in every release since 1.0; none with ``sys_interval 0``. Measured with 2.0.11."""
CHANGING = (_UPTIME, _DROPPED)
"""What is watched: the uptime comes at every count, and first."""


class BrokerState(NamedTuple):
    """``uptime`` in s. ``dropped``: messages given up for a full queue, ``expired``: sessions forgotten, of all clients since its start."""

    version: str | None = None
    uptime: int | None = None
    dropped: int | None = None
    expired: int | None = None

    @property
    def is_known(self) -> bool:
        """Whether the broker says anything of itself."""
        return self != BrokerState()


def told(state: BrokerState, messages: Iterable[Message]) -> BrokerState:
    """``state`` after these messages; what cannot be read changes nothing."""
    for message in messages:
        words = message.payload.decode("utf-8", "replace").strip()
        number = int(words.split()[0]) if words and words.split()[0].isdecimal() else None  # uptime is "42 seconds"
        if message.topic == _VERSION:
            state = state._replace(version=words[:80])
        elif message.topic == _UPTIME:
            state = state._replace(uptime=number)
        elif message.topic == _DROPPED:
            state = state._replace(dropped=number)
        elif message.topic == _EXPIRED:
            state = state._replace(expired=number)
    return state


async def first(connection: Connection) -> BrokerState:
    """What is retained there: subscribes, and waits `LOOK_S` at most. Raises `NotConnected` where that is refused."""
    await connection.subscribe(FILTERS, 0)
    state, until = BrokerState(), time.monotonic() + LOOK_S
    while None in state and (rest := until - time.monotonic()) > 0 and not connection.lost.done():
        state = told(state, await connection.take(len(FILTERS), rest))
    return state


async def look(dial: Dial, clock: Callable[[], int]) -> tuple[Limits, BrokerState]:
    """On connections of its own, so that a broker which cuts off who asks for ``$SYS`` harms nobody. Never raises `NotConnected`.

    The limits are those of a session that would be kept, over MQTT 5 whatever the source speaks: 3.1.1 tells none. The second connection
    takes that session back.
    """
    limits, state = Limits(), BrokerState()
    for asked in (dial._replace(keep_session=True, protocol="5"), dial._replace(keep_session=False)):
        connection = connection_of(asked._replace(client="own", will=None), clock)
        try:
            await connection.connect()
            if asked.keep_session:
                limits = connection.limits
            else:
                state = await first(connection)
        except NotConnected:
            continue  # it speaks no MQTT 5, or lets nobody read $SYS
        finally:
            await connection.close()
    return limits, state
