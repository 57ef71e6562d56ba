"""Watches one broker's own counters while a source runs: that it drops messages is told when it happens, and stands in health.

On a connection of its own, because some brokers cut off who subscribes to ``$SYS``. A broker that says nothing is asked again at the
next connection of its source only. Run by the MQTT source.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

from shinkei_events.errors import NotConnected
from shinkei_events.telemetry import emit
from shinkei_gateway.mqtt.broker_state import CHANGING, FILTERS, BrokerState, first, told
from shinkei_gateway.mqtt.connection import Dial
from shinkei_gateway.mqtt.dial import connection as connection_of
from shinkei_gateway.telemetry import BrokerDropped, SourceCrashed

TICK_S = 1.0
TELL_EVERY_S = 60.0
"""mosquitto counts every 10 s (``sys_interval``): a broker that drops all the time is told once a minute."""


class BrokerWatch:
    """``dial``: the source's, of which it makes one with a client id of its own. ``clock``: ns UTC. ``known``: `state_known` of the last run.

    ``dropped(count, since)`` is called when messages were given up after ``since`` (ns UTC; None: nobody knows).
    """

    def __init__(self, source: str, url: str, dial: Dial, clock: Callable[[], int], dropped: Callable[[int, int | None], None],
                 known: Mapping[str, Any]) -> None:  # fmt: skip
        self._source, self._url, self._clock, self._dropped = source, url, clock, dropped
        self._dial = dial._replace(client_id=f"{dial.client_id}-watch", keep_session=False, client="own", will=None)
        self._looked: list[int | None] = [known.get("at"), known.get("at")]
        self._untold, self._since = 0, None if known.get("at") is None else int(known["at"])
        self._told_at: float | None = None
        self.state = BrokerState(dropped=known.get("dropped"))
        """What the broker last said of itself; ``at_start`` is what it said when this connection began."""
        self.at_start = BrokerState()

    @property
    def state_known(self) -> dict[str, Any]:
        """Of the broker's counter, for the next run."""
        return {"dropped": self.state.dropped, "at": self._looked[0]}

    async def run(self) -> None:
        """Until cancelled, or until the broker ends it or has nothing to say."""
        self.at_start = BrokerState()
        connection = connection_of(self._dial, self._clock)
        try:
            await connection.connect()
            self.at_start = found = await first(connection)
            if not found.is_known:
                return
            self._took(found)
            await connection.unsubscribe([name for name in FILTERS if name not in CHANGING])
            while not connection.lost.done():
                self._took(told(self.state, await connection.take(len(FILTERS), TICK_S)))
        except NotConnected:
            return  # who may not read it sees nothing
        except Exception as error:  # noqa: BLE001  outermost: what a broker says of itself must not end its source
            emit(SourceCrashed(self._source, f"reading $SYS: {type(error).__name__}: {error}"))
        finally:
            await connection.close()

    def _took(self, now: BrokerState) -> None:
        before, self.state = self.state, now
        if before.dropped is not None and now.dropped is not None and now.dropped != before.dropped:
            if not self._untold:
                self._since = self._looked[0]
            # A counter that went back began anew with the broker.
            self._untold += now.dropped - before.dropped if now.dropped > before.dropped else now.dropped
        if now.uptime != before.uptime:  # comes every time the broker counts, before the counters
            at = self._clock()
            self._looked = [at if self._looked[1] is None else self._looked[1], at]
        if self._untold and (self._told_at is None or time.monotonic() - self._told_at >= TELL_EVERY_S):
            emit(BrokerDropped(self._source, self._url, self._untold, now.dropped or 0))
            self._dropped(self._untold, self._since)
            self._untold, self._told_at = 0, time.monotonic()


async def ended(task: asyncio.Task[None] | None) -> None:
    """Cancel a watch and wait for its end."""
    if task is not None:
        task.cancel()
        await asyncio.wait([task])
