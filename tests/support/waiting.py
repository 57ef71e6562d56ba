"""Waiting for a state with a deadline; tests never sleep for a fixed time."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


def eventually(predicate: Callable[[], T], timeout: float = 10.0, every: float = 0.02) -> T:
    """Return the first true value of ``predicate``; AssertionError when ``timeout`` seconds pass without one."""
    deadline = time.monotonic() + timeout
    while True:
        found = predicate()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(_not_so(predicate, timeout, found))
        time.sleep(every)


async def eventually_async(predicate: Callable[[], Any], timeout: float = 10.0, every: float = 0.02) -> Any:
    """The same inside an event loop; ``predicate`` may be a coroutine function."""
    deadline = time.monotonic() + timeout
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
    return f"not so after {timeout:g} s: {_name(predicate)}; the last answer was {last!r:.200}"


def _name(predicate: Callable[..., object]) -> str:
    try:
        return inspect.getsource(predicate).strip()[:200]
    except (OSError, TypeError):
        return getattr(predicate, "__name__", repr(predicate))
