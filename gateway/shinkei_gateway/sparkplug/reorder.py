"""The sequence numbers of one edge node: what came twice, too early, or not at all. A pure state machine.

All of a node's messages but NDEATH share numbers 0 to 255 (Sparkplug 3.0, 6.4.5). Behind a missing number, messages wait for the reorder
window; then they are given out with how many are missing before them. A number alone is ambiguous after 256 messages, so that a repeat
is told by its content as well, and what is half a round behind is forgotten.
"""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar

MODULUS = 256
T = TypeVar("T")


class Released(NamedTuple, Generic[T]):
    """The next message in order. ``missing``: numbers before it that never came. ``is_late``: one that was given up."""

    message: T
    missing: int = 0
    is_late: bool = False


class Reorder(Generic[T]):
    """``window``: ns that a missing message is waited for; times are any monotonic ns."""

    def __init__(self, window: int) -> None:
        self._window = window
        self.expected: int | None = None
        self.duplicates = 0
        self._waiting: dict[int, tuple[T, int]] = {}
        self._since: int | None = None
        self._recent: dict[int, int] = {}
        self._given_up: set[int] = set()

    def begin(self, number: int) -> None:
        """A birth had ``number``; the next message has the number after it."""
        self.expected = (number + 1) % MODULUS
        self._waiting.clear()
        self._recent.clear()
        self._given_up.clear()
        self._since = None

    def take(self, number: int, message: T, digest: int, now: int) -> list[Released[T]]:
        """A message came; what may be given out now, in order. ``digest``: of its content."""
        if number == self.expected:
            return [self._next(number, message, digest, 0), *self._follow(now)]
        waiting = self._waiting.get(number)
        if self._recent.get(number) == digest or (waiting is not None and waiting[1] == digest):
            self.duplicates += 1
            return []
        if number in self._given_up:
            self._given_up.discard(number)
            self._recent[number] = digest
            return [Released(message, 0, True)]
        if waiting is not None:  # another message with that number: a whole round of 256 has passed
            return [*self.flush(), *self.take(number, message, digest, now)]
        self._waiting[number] = (message, digest)
        if self._since is None:
            self._since = now
        return []

    def due(self, now: int) -> bool:
        """Whether something has waited for the whole window: `flush` then."""
        return self._since is not None and now - self._since >= self._window

    def flush(self) -> list[Released[T]]:
        """Give out what waits, whatever is missing between."""
        found: list[Released[T]] = []
        while self._waiting and self.expected is not None:
            expected = self.expected
            number = min(self._waiting, key=lambda n: (n - expected) % MODULUS)
            message, digest = self._waiting.pop(number)
            missing = (number - expected) % MODULUS
            self._given_up.update((expected + at) % MODULUS for at in range(missing))
            found.append(self._next(number, message, digest, missing))
        self._since = None
        return found

    def _next(self, number: int, message: T, digest: int, missing: int) -> Released[T]:
        self.expected = (number + 1) % MODULUS
        for behind in range(min(missing + 1, MODULUS // 2)):
            forgotten = (number - behind + MODULUS // 2) % MODULUS
            self._recent.pop(forgotten, None)
            self._given_up.discard(forgotten)
        self._recent[number] = digest
        self._given_up.discard(number)
        return Released(message, missing)

    def _follow(self, now: int) -> list[Released[T]]:
        found: list[Released[T]] = []
        while self.expected is not None and self.expected in self._waiting:
            number = self.expected
            message, digest = self._waiting.pop(number)
            found.append(self._next(number, message, digest, 0))
        self._since = now if self._waiting else None  # the missing one came: another one has the whole window again
        return found
