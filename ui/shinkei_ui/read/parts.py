"""The running parts of this site: their run files, and what each says of itself on ``/health``. Loopback only; never raises."""

from __future__ import annotations

import http.client
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from shinkei_events.runfile import all_runs

ASK_S = 0.8
PARTS = ("plant", "gateway", "log", "store", "database", "detect", "trace", "alerts", "ui")


class Part(NamedTuple):
    """``state``: ready, starting (runs, not ready yet), silent (its process is there and does not answer), gone (it left a run file)."""

    name: str
    state: str
    pid: int | None
    since: float | None
    lag: Any
    error: str | None
    details: dict[str, Any]
    restarts: int | None


def parts(folder: Path) -> list[Part]:
    """Every part that runs or ran here, asked at the same time, in the order of the chain."""
    runs = all_runs(folder)
    supervisor = runs.pop("supervisor", None) or {}
    restarts = {
        name: about.get("restarts") for name, about in supervisor.get("parts", {}).items() if isinstance(about, dict)
    }
    named = {name: run for name, run in runs.items() if "part" in run}
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda item: _part(item[0], item[1], restarts.get(item[0])), named.items()))
    return sorted(found, key=_place)


def _place(part: Part) -> tuple[int, str]:
    """In the order of the chain; a gateway's further shards (``gateway-NAME``) beside it."""
    kind = part.name.partition("-")[0]
    return PARTS.index(kind) if kind in PARTS else len(PARTS), part.name


def _part(name: str, run: dict[str, Any], restarts: int | None) -> Part:
    pid = run.get("pid")
    if not _alive(pid):
        return Part(name, "gone", pid, run.get("started"), None, None, {}, restarts)
    if not run.get("http"):
        return Part(name, "ready", pid, run.get("started"), None, None, {}, restarts)
    said = _ask(str(run["http"]))
    if said is None:
        return Part(name, "silent", pid, run.get("started"), None, None, {}, restarts)
    error = said.get("last_error")
    text = error.get("text") if isinstance(error, dict) else error
    details = said.get("details")
    return Part(
        name,
        "ready" if said.get("ready") else "starting",
        pid,
        said.get("since"),
        said.get("lag"),
        text,
        details if isinstance(details, dict) else {},
        restarts,
    )


def _alive(pid: object) -> bool:
    if not isinstance(pid, int) or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _ask(address: str) -> dict[str, Any] | None:
    host, _, port = address.rpartition(":")
    try:
        connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=ASK_S)
        try:
            connection.request("GET", "/health")
            found = json.loads(connection.getresponse().read())
        finally:
            connection.close()
    except (OSError, ValueError, http.client.HTTPException):
        return None
    return found if isinstance(found, dict) else None
