"""``gateway.spool_day_10k.gb``: what a day at 10 000 readings/s takes in the spool, written through intake and group commit.

20 machines with 50 signals each at 10 Hz, one put a machine every 100 ms, noisy values with two decimals, each put with its source's
resume state (the last source time of every channel). Beside it a quiet line: puts of five values. The answer is checked by reading
every value back.
"""

from __future__ import annotations

import json
import os
import platform
import random
import tempfile
import time
from pathlib import Path
from typing import Any

from shinkei_events.codec import decode
from shinkei_events.model.frame import Frame
from shinkei_gateway.core import Core
from shinkei_gateway.intake import Batch, Reading

T = 1_700_000_000_000_000_000
MACHINES, SIGNALS, PUTS = 20, 50, 200
DAY_VALUES = 10_000 * 86_400


def main() -> None:
    """Print one JSON object a line."""
    loaded, quiet = _bytes_per_value(SIGNALS), _bytes_per_value(5)
    conditions: dict[str, Any] = {
        "cpus": os.cpu_count(), "python": platform.python_version(), "machines": MACHINES, "signals": SIGNALS,
        "bytes_per_value": round(loaded["bytes"], 1), "quiet_bytes_per_value": round(quiet["bytes"], 1),
        "cpu_us_per_value": round(loaded["cpu_us"], 2), "load_before": os.getloadavg()[0],
    }  # fmt: skip
    value = round(loaded["bytes"] * DAY_VALUES / 1e9, 1)
    sheet = {"name": "gateway.spool_day_10k.gb", "value": value, "unit": "GB", "better": "less", "must": 25, "aim": 12, "conditions": conditions}  # fmt: skip
    print(json.dumps(sheet), flush=True)


def _bytes_per_value(at_once: int) -> dict[str, float]:
    """Bytes on disk and CPU microseconds a value with ``at_once`` values in each put."""
    rng = random.Random(1)
    with tempfile.TemporaryDirectory(prefix="shinkei-spool-") as folder:
        core = Core(Path(folder), "bench", "0")
        last = {f"M{m:02d}": dict.fromkeys((f"s{n}" for n in range(SIGNALS)), T) for m in range(MACHINES)}
        began = time.process_time()
        written = 0
        for step in range(PUTS):
            done = []
            for machine, times in last.items():
                now = T + step * 100_000_000 + rng.randrange(10_000_000)
                names = rng.sample(sorted(times), at_once)
                items = [Reading(machine, name, now + n * 1000, round(rng.gauss(40, 1), 2), 0, now + 5_000_000) for n, name in enumerate(names)]  # fmt: skip
                times |= {item.channel: item.time for item in items}
                done.append(
                    core.intake.put(Batch(machine, list(items), {"last": dict(times), "state": {"told": "EXECUTE"}}))
                )
                written += at_once
            for future in done:
                future.result(30)
        cpu = time.process_time() - began
        assert _read_back(core) == written
        found = {"bytes": core.spool.used() / written, "cpu_us": cpu / written * 1e6}
        core.close(5)
    return found


def _read_back(core: Core) -> int:
    count, at = 0, core.spool.begin()
    while (step := core.spool.read(at)) is not None:
        batch, at = step
        for entry, payload in zip(batch.index.entries, batch.payloads(), strict=True):
            event = decode(entry.type, payload)
            count += event.count if isinstance(event, Frame) else 0
    return count


if __name__ == "__main__":
    main()
