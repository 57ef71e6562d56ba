"""The seed of a run: from the commit, so that each commit tries other cases and a failed run can be repeated."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_DIGITS = 8


def seed_of_run(environment: dict[str, str] | None = None) -> int:
    """``SHINKEI_SEED`` when it is set (decimal), else the first 32 bits of HEAD's id, else 1 (a checkout without history)."""
    given = (os.environ if environment is None else environment).get("SHINKEI_SEED", "").strip()
    if given:
        return int(given)
    done = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return int(done.stdout[:_DIGITS], 16) if done.returncode == 0 and len(done.stdout) >= _DIGITS else 1
