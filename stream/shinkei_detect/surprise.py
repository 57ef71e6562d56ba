"""Deviations as surprises: −log10 of how likely something at least as far from usual is. Pure functions."""

from __future__ import annotations

import math

CERTAIN = 300.0
"""What is stated by the source itself (a bad status) or cannot be by chance: about the smallest probability a float holds."""


def two_sided(z: float) -> float:
    """Surprise of a deviation of ``z`` usual wanders to either side, as if the wander were normal; at most `CERTAIN`.

    >>> round(two_sided(2.0), 2), round(two_sided(4.0), 2)
    (1.34, 4.2)
    """
    z = abs(z)
    if z < 25.0:
        return -math.log10(math.erfc(z / math.sqrt(2.0)))
    return min(CERTAIN, z * z / (2.0 * math.log(10.0)) + math.log10(z * math.sqrt(math.pi / 2.0)))


def one_sided(z: float) -> float:
    """Surprise of a normal-equivalent deviation upwards; 0.3 at the median, at most `CERTAIN`.

    >>> round(one_sided(0.0), 2), round(one_sided(6.0), 2)
    (0.3, 9.01)
    """
    return two_sided(z) + math.log10(2.0) if z > 0 else -math.log10(0.5 * math.erfc(z / math.sqrt(2.0)))
