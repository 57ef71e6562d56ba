"""The errors every part raises, as one tree; each leaf is a decision for the caller.

::

    ShinkeiError
    ├── BadInput            the sender is wrong: quarantine it and go on
    │   ├── BadField        one field of a message (path, value, what is allowed)
    │   ├── UnknownType     a ``ce_type`` nobody here knows
    │   └── UnknownVersion  a known type in a version newer than this program
    ├── BadConfig           the operator is wrong: say which key, exit with 2
    ├── NotConnected        a peer is away: try again later
    │   └── RetryAfter      … and not before ``seconds``
    ├── EndOfInput          nothing more will come: finish cleanly
    ├── Full                no room (disk, credit): stop taking, do not drop
    ├── Fenced              another worker owns this position: drop state, load again
    └── Corrupt             stored bytes do not match their checksum

Nothing here does I/O or logs.
"""

from __future__ import annotations


class ShinkeiError(Exception):
    """Root of all errors raised on purpose by Shinkei."""


class BadInput(ShinkeiError):
    """What came in cannot be understood; its neighbours can."""


class BadField(BadInput):
    """One field is wrong. ``path`` is like ``$.readings[2].value``. Its text is short, however long what came in is."""

    def __init__(self, path: str, value: object, expected: str) -> None:
        self.path, self.value, self.expected = path[:300], value, expected[:300]
        shown = repr(value)
        shown = shown if len(shown) <= 120 else shown[:117] + "..."
        super().__init__(f"{self.path}: {shown} is not allowed; {self.expected}")


class UnknownType(BadInput):
    """The message names a type that is not in the language."""


class UnknownVersion(BadInput):
    """The message names a version that this program is too old for."""


class BadConfig(ShinkeiError):
    """A setting is wrong; ``field`` is its dotted path in the file."""

    def __init__(self, field: str, value: object, expected: str) -> None:
        self.field, self.value, self.expected = field, value, expected
        super().__init__(f"{field}: {expected}" if value == "" else f"{field} = {value!r}: {expected}")


class NotConnected(ShinkeiError):
    """The peer is not there now. Connect again."""


class RetryAfter(NotConnected):
    """The peer asked for a pause of ``seconds``."""

    def __init__(self, seconds: float, why: str) -> None:
        self.seconds = seconds
        super().__init__(f"{why}; try again in {seconds:g} s")


class EndOfInput(ShinkeiError):
    """The source has said everything it will ever say."""


class Full(ShinkeiError):
    """There is no room for more now; nothing was taken."""


class Fenced(ShinkeiError):
    """Somebody else moved this position; what is in memory is stale."""


class Corrupt(ShinkeiError):
    """Bytes on disk are not what was written."""
