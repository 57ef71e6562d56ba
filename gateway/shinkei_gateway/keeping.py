"""Whether a segment that everybody has is kept a while longer (``keep_after``), for a log that is lost or a database restored from a backup.

Gives way long before the disk or ``max_bytes`` would block the sources, and says so: the promise is then shorter than the file's. Asked by the
spool's trimming through `kafka_link`; `run` shows `short` on /health, where `check` finds it.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

from shinkei_events.telemetry import emit
from shinkei_gateway.forward_telemetry import KeptShort
from shinkei_gateway.settings import SpoolSettings

KEPT_SHARE = 0.5
FREE_SHARE = 0.1


class Keeping:
    """Of the spool in ``folder``. ``used``: its bytes; ``settings``: as they are now; ``clock``: s since 1970."""

    def __init__(
        self, folder: Path, used: Callable[[], int], settings: Callable[[], SpoolSettings], clock: Callable[[], float] = time.time
    ) -> None:  # fmt: skip
        self._folder, self._used, self._settings, self._clock = folder, used, settings, clock
        self.short = ""
        """Why less is kept than ``keep_after`` promises, and how much; empty when the promise holds."""

    def keep(self, name: str) -> bool:
        """Whether the segment ``name``, of which everything is recorded, stays. Told once when one goes too early, until one goes in time."""
        promised = float(self._settings().keep_after)
        with contextlib.suppress(OSError):
            age = self._clock() - (self._folder / name).stat().st_mtime
            if age >= promised:
                self.short = ""
                return False
            if not (why := self._tight()):
                return True
            said, self.short = self.short, f"{why}: {_hours(age)} are kept of keep_after {_hours(promised)}"
            if not said:
                emit(KeptShort(_hours(age), _hours(promised), why))
        return False

    def health(self) -> dict[str, str]:
        """For /health: nothing while the promise holds."""
        return {"kept_short": self.short} if self.short else {}

    def _tight(self) -> str:
        disk, most = os.statvfs(self._folder), self._settings().max_bytes
        if self._used() >= KEPT_SHARE * most:
            return f"the spool has {KEPT_SHARE:.0%} of max_bytes ({most / 1e9:g} GB)"
        return f"the disk has less than {FREE_SHARE:.0%} free" if disk.f_bavail <= FREE_SHARE * disk.f_blocks else ""


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.3g} h"
