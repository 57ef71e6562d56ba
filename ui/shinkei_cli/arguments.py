"""Types of arguments that argparse has not; a wrong one is wrong use, said with its value. Used by the commands."""

from __future__ import annotations

import argparse
from math import isfinite

LONGEST_S = 86_400.0


def seconds(text: str) -> float:
    """A wait in s, above 0 and at most a day."""
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not isfinite(found) or not 0 < found <= LONGEST_S:
        raise argparse.ArgumentTypeError(f"{text!r}: seconds above 0, at most {LONGEST_S:g}")
    return found
