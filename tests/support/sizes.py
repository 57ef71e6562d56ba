"""How much a long test does: a sample in `make test`, all of it in `make faults`. Each choice is printed with its size."""

from __future__ import annotations

import os
from dataclasses import dataclass

NAMES = ("sample", "full")
CHOSEN: list[str] = []
"""What was chosen in this run; printed at its end."""


@dataclass(frozen=True)
class Sizes:
    """``name`` is ``sample`` or ``full`` (SHINKEI_SIZE)."""

    name: str = "sample"

    @classmethod
    def from_environment(cls) -> Sizes:
        """From SHINKEI_SIZE; ValueError when it is neither."""
        name = os.environ.get("SHINKEI_SIZE", "sample")
        if name not in NAMES:
            raise ValueError(f"SHINKEI_SIZE is {name!r}; it can be {' or '.join(NAMES)}")
        return cls(name)

    def of(self, what: str, *, sample: int, full: int) -> int:
        """How many ``what`` to do in this run."""
        chosen = sample if self.name == "sample" else full
        CHOSEN.append(f"{chosen} {what} ({self.name}; all would be {full})")
        return chosen
