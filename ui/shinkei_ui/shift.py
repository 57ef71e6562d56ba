"""Which shift it is, from the calendar in the master data. Pure. Used by the board's figures."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from shinkei_events.model.master import Shift


class Now(NamedTuple):
    """The shift that runs; ``begins`` and ``ends`` with time zone."""

    name: str
    begins: datetime
    ends: datetime


def shift_at(shifts: list[Shift], now: datetime) -> Now | None:
    """The shift that runs at ``now``; one that ends at or before its start ends the next day. None between shifts.

    Days of the week are those on which it starts (ISO: Monday is 1).
    """
    for shift in shifts:
        here = now.astimezone(ZoneInfo(shift.zone))
        for day in (here.date(), here.date() - timedelta(days=1)):
            begins = datetime.combine(day, time.fromisoformat(shift.starts), here.tzinfo)
            ends = datetime.combine(day, time.fromisoformat(shift.ends), here.tzinfo)
            if ends <= begins:
                ends = datetime.combine(day + timedelta(days=1), time.fromisoformat(shift.ends), here.tzinfo)
            if day.isoweekday() in shift.weekdays and begins <= here < ends:
                return Now(shift.name, begins, ends)
    return None
