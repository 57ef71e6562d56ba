"""Errors of the library and of the network in words of the plant. Used where connections are made and services are asked."""

from __future__ import annotations

import os

from asyncua import ua
from asyncua.ua.uaerrors import UaStatusCodeError


def status_name(code: int) -> str:
    """A status code by its name."""
    return str(ua.StatusCode(ua.UInt32(code)).name)


def why(error: BaseException) -> str:
    """A status code by its name, a network error as the system says it (the event loop's own text is for programmers)."""
    if isinstance(error, UaStatusCodeError):
        return ua.StatusCode(error.code).name
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    if str(error).startswith("No matching endpoints"):  # the library's words when no security was asked for
        return "the server takes no sessions without security; `shinkei gateway trust` lists what it offers"
    return str(error) or type(error).__name__
