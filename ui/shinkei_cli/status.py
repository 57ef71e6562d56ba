"""What runs in a site's folder, from its run files and each part's ``/health``. The core of `shinkei status`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from shinkei_cli.folder import alive
from shinkei_cli.health import ask
from shinkei_events.runfile import all_runs

COLUMNS = ("part", "state", "ready", "lag", "restarts", "since", "pid", "http", "error")


def rows(folder: Path, ask_health: Callable[[str], dict[str, Any] | None] = ask) -> list[dict[str, Any]]:
    """One row a part. ``state``: runs, silent (its process is there but does not answer), gone (it left a run file)."""
    runs = all_runs(folder)
    supervisor = runs.pop("supervisor", None) or {}
    restarts = {name: about.get("restarts") for name, about in supervisor.get("parts", {}).items()}
    missing = {
        name: {"pid": about.get("pid")} for name, about in supervisor.get("parts", {}).items() if name not in runs
    }
    # Run files of other shapes (addresses of the embedded database, say) are no parts.
    parts = {name: run for name, run in runs.items() if "part" in run}
    found = [_row(name, run, restarts.get(name), ask_health) for name, run in {**parts, **missing}.items()]
    return sorted(found, key=lambda row: row["part"])


def everything_ready(found: list[dict[str, Any]]) -> bool:
    """Whether there is something, and all of it is ready."""
    return bool(found) and all(row["ready"] for row in found)


def _row(
    name: str, run: dict[str, Any], restarts: int | None, ask_health: Callable[[str], dict[str, Any] | None]
) -> dict[str, Any]:
    pid, address = run.get("pid"), run.get("http")
    row: dict[str, Any] = {
        "part": name,
        "pid": pid,
        "http": address,
        "restarts": restarts,
        "since": _time(run.get("started")),
    }
    if not alive(pid):
        return row | {"state": "gone", "ready": False}
    if address is None:
        return row | {"state": "runs", "ready": "started" in run or "bootstrap" in run}
    health = ask_health(address)
    if health is None:
        return row | {"state": "silent", "ready": False}
    error = health.get("last_error")
    return row | {
        "state": "runs",
        "ready": health.get("ready") is True,
        "lag": health.get("lag"),
        "since": _time(health.get("since")) or row["since"],
        "error": error.get("text") if isinstance(error, dict) else error,
    }


def _time(seconds: object) -> datetime | None:
    return datetime.fromtimestamp(int(seconds), UTC) if isinstance(seconds, int | float) else None
