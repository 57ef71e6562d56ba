"""A batch in which one bit is wrong, made right again: a CRC-32C names the bit. Pure; `segment` calls it when a checksum fails.

A checksum is linear: it differs from the right one by exactly what the wrong bit alone contributes, and within 2^31 bits no two single
bits contribute the same (Koopman, "32-Bit Cyclic Redundancy Codes for Internet Applications", DSN 2002: distance 4 to 5 kB, 3 beyond).
So one flipped bit costs nothing; anything more stays damaged. Cost: 0.3 s a megabyte, once.
"""

from __future__ import annotations

_POLYNOMIAL = 0x82F63B78  # Castagnoli, reflected (RFC 3720 appendix B.4)
MOST_BYTES = 8 * 1024 * 1024


def _table() -> list[int]:
    table = []
    for index in range(256):
        entry = index
        for _ in range(8):
            entry = entry >> 1 ^ (_POLYNOMIAL if entry & 1 else 0)
        table.append(entry)
    return table


_TABLE = _table()
_BY_TOP = {entry >> 24: index for index, entry in enumerate(_TABLE)}
_BITS = {_TABLE[1 << bit]: bit for bit in range(8)}


def wrong_bit(difference: int, length: int) -> tuple[int, int] | None:
    """Byte and bit of the one wrong bit in ``length`` bytes whose CRC-32C is off by ``difference`` (exclusive or); None if it is not one."""
    if length > MOST_BYTES:
        return None
    at = difference
    for place in range(length - 1, -1, -1):
        bit = _BITS.get(at)
        if bit is not None:
            return place, bit
        index = _BY_TOP[at >> 24]
        at = (at ^ _TABLE[index]) << 8 & 0xFFFFFFFF | index
    return None


def mended(data: bytes, difference: int) -> bytes | None:
    """``data`` with its wrong bit turned, or None. ``difference`` as in `wrong_bit`; one bit of it: the stored checksum itself was wrong."""
    if difference.bit_count() == 1:
        return data
    found = wrong_bit(difference, len(data))
    if found is None:
        return None
    place, bit = found
    return data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :]
