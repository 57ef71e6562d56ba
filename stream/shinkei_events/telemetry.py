"""Every noteworthy event as a small frozen type: one `emit` writes the structured line and moves the counter.

Levels by operator action: WARNING nothing is lost and it mends itself; ERROR data are lost or a person is needed; nothing per
reading above DEBUG. `setup` is called once at the edge by whoever starts a process.
"""

from __future__ import annotations

import logging
import re
import sys
from typing import Any, ClassVar

import msgspec
from prometheus_client import Counter

LOGGER = logging.getLogger("shinkei")
_CAMEL = re.compile(r"(?<!^)(?=[A-Z])")
_counters: dict[str, Counter] = {}


class Telemetry(msgspec.Struct, frozen=True):
    """Base. ``text``: format string over the fields; ``labels``: fields from bounded sets that label the counter."""

    level: ClassVar[int] = logging.INFO
    text: ClassVar[str] = ""
    metric: ClassVar[str | None] = None
    labels: ClassVar[tuple[str, ...]] = ()
    amount: ClassVar[str | None] = None


def emit(event: Telemetry) -> None:
    """Write the line and move the counter of ``event``."""
    kind = type(event)
    if kind.metric is not None:
        counter = _counters.get(kind.metric)
        if counter is None:
            counter = _counters[kind.metric] = Counter(
                kind.metric, (kind.__doc__ or kind.metric).split("\n")[0], kind.labels
            )
        amount = float(getattr(event, kind.amount)) if kind.amount else 1.0
        (counter.labels(*(str(getattr(event, name)) for name in kind.labels)) if kind.labels else counter).inc(amount)
    if LOGGER.isEnabledFor(kind.level):
        LOGGER.log(kind.level, "%s", _sentence(event), extra={"event": event})


def _sentence(event: Telemetry) -> str:
    fields = {name: getattr(event, name) for name in event.__struct_fields__}
    return type(event).text.format(**fields) if type(event).text else f"{name_of(event)} {fields}"


def name_of(event: Telemetry) -> str:
    """``log_connected`` of LogConnected."""
    return _CAMEL.sub("_", type(event).__name__).lower()


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        event = getattr(record, "event", None)
        line: dict[str, Any] = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname,
            "text": record.getMessage(),
        }
        if isinstance(event, Telemetry):
            line["event"] = name_of(event)
            line |= {name: msgspec.to_builtins(getattr(event, name), enc_hook=str) for name in event.__struct_fields__}
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line).decode()


def setup(level: int = logging.INFO) -> None:
    """Log to standard error: plain lines on a terminal, JSON lines otherwise. Libraries speak from WARNING on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        logging.Formatter("%(asctime)s %(levelname)s %(message)s") if sys.stderr.isatty() else _JsonLines()
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    LOGGER.setLevel(level)
