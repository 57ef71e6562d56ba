"""Asks a part's ``GET /health``. Never raises: no answer is None."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

ASK_TIMEOUT_S = 0.5


def ask(address: str, timeout: float = ASK_TIMEOUT_S) -> dict[str, Any] | None:
    """What the part at ``host:port`` says of itself."""
    host, _, port = address.rpartition(":")
    try:
        connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=timeout)
        try:
            connection.request("GET", "/health")
            answer = connection.getresponse()
            found = json.loads(answer.read()) if answer.status == 200 else None
        finally:
            connection.close()
    except (OSError, ValueError, http.client.HTTPException):
        return None
    return found if isinstance(found, dict) else None


def answers_ready(address: str) -> bool:
    """Whether the part at ``host:port`` says that it is ready."""
    found = ask(address)
    return found is not None and found.get("ready") is True


def opens(url: str, timeout: float = 2.0) -> bool:
    """Whether the page at ``url`` (http only) is there."""
    parts = urlsplit(url)
    try:
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout)
        try:
            connection.request("GET", parts.path or "/")
            return connection.getresponse().status == 200
        finally:
            connection.close()
    except (OSError, http.client.HTTPException):
        return False
