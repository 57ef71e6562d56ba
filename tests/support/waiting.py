"""Waiting for a state with a deadline; tests never sleep for a fixed time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(predicate: Callable[[], T], timeout: float = 10.0, every: float = 0.02) -> T:
    """Return the first true value of ``predicate``; AssertionError when ``timeout`` seconds pass without one."""
    deadline = time.monotonic() + timeout
    while True:
        found = predicate()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not so after {timeout:g} s: {getattr(predicate, '__name__', predicate)}")
        time.sleep(every)
