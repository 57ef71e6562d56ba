"""How the values of a notification are laid out, worked out once for each shape: runs of values that are encoded alike, and what follows a value. Pure.

A value's place follows from those before it: when every n-th byte is the same mask and the same type, all of them are values of n bytes,
and one precompiled `struct.Struct` unpacks the run. Only `decode` calls it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

from shinkei_gateway.opcua.binary import EPOCH_TICKS, FIRST_TICK, FIXED, LAST_TICK, nanoseconds
from shinkei_gateway.opcua.item_columns import Item, ItemColumns
from shinkei_gateway.quality import GOOD

VALUE, _STATUS, _SOURCE, _SERVER, _SOURCE_PICO, _SERVER_PICO = 1, 2, 4, 8, 16, 32
"""Bits of a DataValue's mask (Part 6 §5.2.2.17)."""
_FIRST = max(FIRST_TICK, 0)


class Run:
    """Consecutive values of one mask and one numeric type: all of one size."""

    def __init__(self, mask: int, kind: int, format_: str) -> None:
        parts = {_STATUS: "I", _SOURCE: "q", _SOURCE_PICO: "xx", _SERVER: "q", _SERVER_PICO: "xx"}
        self._shape = struct.Struct("<I2x" + format_ + "".join(code for bit, code in parts.items() if mask & bit))
        self.size = self._shape.size
        self._mask, self._kind = bytes([mask]), bytes([kind])
        self._columns = [bit for bit in (_STATUS, _SOURCE, _SERVER) if mask & bit]
        self._make = _MAKERS[mask & (_STATUS | _SOURCE | _SERVER)]

    def length(self, data: bytes, at: int, most: int) -> int:
        """How many of the next ``most`` values are of this kind: a value's place follows from those before it."""
        stop = at + most * self.size
        masks, kinds = data[at + 4 : stop : self.size], data[at + 5 : stop : self.size]
        return min(len(masks) - len(masks.lstrip(self._mask)), len(kinds) - len(kinds.lstrip(self._kind)))

    def items(self, data: bytes) -> list[Item]:
        """The values in ``data``, which is a whole number of them."""
        return self._make(self._shape, data)

    def columns(self, data: bytes) -> ItemColumns:
        """The same in columns."""
        handles, values, *rest = zip(*self._shape.iter_unpack(data), strict=True)
        column = dict(zip(self._columns, rest, strict=True))
        ticks, server_ticks = column.get(_SOURCE), column.get(_SERVER)
        times = None if ticks is None else _moments(ticks)
        is_same = ticks is not None and ticks == server_ticks
        servers = times if is_same else None if server_ticks is None else _moments(server_ticks)
        return ItemColumns(handles, values, column.get(_STATUS), times, servers)


def _moments(ticks: Sequence[int]) -> list[int | None]:
    if min(ticks) > _FIRST and max(ticks) < LAST_TICK:
        return [(tick - EPOCH_TICKS) * 100 for tick in ticks]
    return [nanoseconds(tick) for tick in ticks]


def _both(shape: struct.Struct, data: bytes) -> list[Item]:
    return [
        (h, v, GOOD, (a - EPOCH_TICKS) * 100 if _FIRST < a < LAST_TICK else None,
         (b - EPOCH_TICKS) * 100 if _FIRST < b < LAST_TICK else None)
        for h, v, a, b in shape.iter_unpack(data)
    ]  # fmt: skip


def _status_both(shape: struct.Struct, data: bytes) -> list[Item]:
    return [
        (h, v, s, (a - EPOCH_TICKS) * 100 if _FIRST < a < LAST_TICK else None,
         (b - EPOCH_TICKS) * 100 if _FIRST < b < LAST_TICK else None)
        for h, v, s, a, b in shape.iter_unpack(data)
    ]  # fmt: skip


def _source(shape: struct.Struct, data: bytes) -> list[Item]:
    return [(h, v, GOOD, nanoseconds(a), None) for h, v, a in shape.iter_unpack(data)]


def _server(shape: struct.Struct, data: bytes) -> list[Item]:
    return [(h, v, GOOD, None, nanoseconds(b)) for h, v, b in shape.iter_unpack(data)]


def _status_source(shape: struct.Struct, data: bytes) -> list[Item]:
    return [(h, v, s, nanoseconds(a), None) for h, v, s, a in shape.iter_unpack(data)]


def _status_server(shape: struct.Struct, data: bytes) -> list[Item]:
    return [(h, v, s, None, nanoseconds(b)) for h, v, s, b in shape.iter_unpack(data)]


def _status(shape: struct.Struct, data: bytes) -> list[Item]:
    return [(h, v, s, None, None) for h, v, s in shape.iter_unpack(data)]


def _neither(shape: struct.Struct, data: bytes) -> list[Item]:
    return [(h, v, GOOD, None, None) for h, v in shape.iter_unpack(data)]


Tail = Callable[[tuple[int, ...]], tuple[int, int | None, int | None]]


def _tail(mask: int) -> tuple[struct.Struct, Tail]:
    """What follows a value with this mask, in the standard's order (Part 6 §5.2.2.17): status, source time and its picoseconds, server's."""
    order = [(_STATUS, "I"), (_SOURCE, "q"), (_SOURCE_PICO, "H"), (_SERVER, "q"), (_SERVER_PICO, "H")]
    there = [(bit, code) for bit, code in order if mask & bit]
    place = {bit: at for at, (bit, _) in enumerate(there)}

    def moment(found: tuple[int, ...], time_bit: int, pico_bit: int) -> int | None:
        time = nanoseconds(found[place[time_bit]]) if time_bit in place else None
        if time is not None and pico_bit in place:
            time += min(found[place[pico_bit]], 9_999) // 100  # counted in 10 ps, at most 99.99 ns
        return time

    if mask == _STATUS | _SOURCE | _SERVER:
        return struct.Struct("<Iqq"), lambda found: (found[0], nanoseconds(found[1]), nanoseconds(found[2]))
    if mask == _SOURCE | _SERVER:
        return struct.Struct("<qq"), lambda found: (GOOD, nanoseconds(found[0]), nanoseconds(found[1]))

    def read(found: tuple[int, ...]) -> tuple[int, int | None, int | None]:
        status = found[place[_STATUS]] if _STATUS in place else GOOD
        return status, moment(found, _SOURCE, _SOURCE_PICO), moment(found, _SERVER, _SERVER_PICO)

    return struct.Struct("<" + "".join(code for _, code in there)), read


_FIRST = max(FIRST_TICK, 0)
TAILS = {mask: _tail(mask) for mask in range(0, 64, 2)}
_MAKERS: dict[int, Callable[[struct.Struct, bytes], list[Item]]] = {
    0: _neither, _STATUS: _status, _SOURCE: _source, _SERVER: _server, _STATUS | _SOURCE: _status_source,
    _STATUS | _SERVER: _status_server, _SOURCE | _SERVER: _both, _STATUS | _SOURCE | _SERVER: _status_both,
}  # fmt: skip
RUNS = {
    bytes([mask, kind]): Run(mask, kind, format_) for mask in range(VALUE, 16, 2) for kind, format_ in FIXED.items()
}
"""By the two bytes after the handle. Picoseconds are rare: values that have them go one by one."""
