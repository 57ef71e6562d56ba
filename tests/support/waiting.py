"""Waiting for a state with a deadline; tests never sleep for a fixed time.

A deadline is written as what a machine of its own needs with room; the machine that runs all tests is shared and stands still
for seconds, so each gets `PATIENCE` times as long. That costs nothing when things go well.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import time
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")
PATIENCE = float(os.environ.get("SHINKEI_TEST_PATIENCE", "6"))


def patient(seconds: float) -> float:
    """How long a shared machine gets for what takes up to ``seconds`` on one of its own. Figures without that room: `make bench`."""
    return seconds * PATIENCE


def eventually(
    predicate: Callable[[], T], timeout: float = 10.0, every: float = 0.02, about: Callable[..., object] | None = None
) -> T:
    """Return the first true value of ``predicate``; AssertionError when `patient` of ``timeout`` seconds pass without one.

    ``about``: whose text the error shows, when it is another's.
    """
    deadline = time.monotonic() + patient(timeout)
    while True:
        found = predicate()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(_not_so(about or predicate, timeout, found))
        time.sleep(every)


async def eventually_async(predicate: Callable[[], Any], timeout: float = 10.0, every: float = 0.02) -> Any:
    """The same inside an event loop; ``predicate`` may be a coroutine function."""
    deadline = time.monotonic() + patient(timeout)
    while True:
        found = predicate()
        value = await found if inspect.isawaitable(found) else found
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(_not_so(predicate, timeout, value))
        await asyncio.sleep(every)


def stays(predicate: Callable[[], object], seconds: float, every: float = 0.02) -> None:
    """AssertionError when ``predicate`` is not true at some moment of the next ``seconds``."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert predicate(), f"did not stay so for {seconds:g} s: {_name(predicate)}"
        time.sleep(every)


def _not_so(predicate: Callable[..., object], timeout: float, last: object) -> str:
    return f"not so after {patient(timeout):g} s: {_name(predicate)}; the last answer was {last!r:.200}"


def _name(predicate: Callable[..., object]) -> str:
    try:
        return inspect.getsource(predicate).strip()[:200]
    except (OSError, TypeError):
        return getattr(predicate, "__name__", repr(predicate))
