"""The one reader of the board's figures: asks the database every few seconds, once for all browsers, and puts the answer into the
snapshot. Also refills states and open alarms after the log was away. Runs in a thread of the ui process.
"""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta

from shinkei_events.errors import NotConnected
from shinkei_events.settings import PlantFile
from shinkei_events.telemetry import emit
from shinkei_store.relay import Relay
from shinkei_ui.live.hub import Hub
from shinkei_ui.live.picture import Picture
from shinkei_ui.live.snapshot import LIST_MOST
from shinkei_ui.read import Reader
from shinkei_ui.telemetry import DatabaseAway, DatabaseBack


class Figures:
    """``every``: seconds between two questions."""

    def __init__(self, plant: PlantFile, reader: Reader, hub: Hub, picture: Picture, every: float) -> None:
        self._plant, self._reader, self._hub, self._picture, self._every = plant, reader, hub, picture, every
        self._up: bool | None = None
        self._curved = False

    @property
    def connected(self) -> bool:
        """Whether the database answers."""
        return self._up is True

    def run(self, stop: threading.Event) -> None:
        """Ask until ``stop`` is set; also sends what people decided on these screens."""
        relay = Relay(self._plant, "ui")
        relay.start()
        try:
            while not stop.is_set():
                begun = time.monotonic()
                try:
                    self.refill()
                    if not self._curved:
                        self._curves()
                        self._curved = True
                    for name, fields in self._reader.figures(datetime.now(UTC)).items():
                        self._hub.put("kpi", name, fields)
                    self._tell(True, "")
                except NotConnected as error:
                    self._tell(False, str(error))
                self._hub.flush()
                stop.wait(max(0.2, self._every - (time.monotonic() - begun)))
        finally:
            relay.stop()

    def refill(self) -> None:
        """Put states and open alarms as the database has them; raises `NotConnected`."""
        for row in self._reader.states_now():
            self._picture.known_state(
                row["machine"], row["state"], row["reason"], row["time"], row["product"], row["tool"]
            )
        for (machine, signal), unit in self._reader.own_units().items():
            self._picture.described(machine, signal, unit)
        self._picture.known_alarms(self._reader.open_alarms())
        self._picture.known_anomalies(self._reader.open_anomalies())

    def _curves(self) -> None:
        """Each tile's curve as the database has it, once at the start: nobody has to wait for four minutes."""
        now = datetime.now(UTC)
        for machine, signal in self._picture.leading():
            rows = self._reader.signal(machine, signal, now - timedelta(seconds=LIST_MOST * 2), now, LIST_MOST)
            self._picture.known_curve(
                machine, [(int(row["ts"].timestamp() * 1e9), row["mean"]) for row in rows if row["mean"] is not None]
            )

    def _tell(self, up: bool, why: str) -> None:
        if up != self._up:
            emit(DatabaseBack() if up else DatabaseAway(why))
            self._up = up
        self._hub.put("feed", "database", {"up": up})
