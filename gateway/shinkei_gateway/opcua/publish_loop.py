"""The publish traffic of one subscription: requests kept outstanding, sequence numbers checked, acknowledged only what is durable.

`Publishing` is the pure state machine (Part 4 §5.14.5, §6.7), `PublishLoop` the shell that sends, receives and waits. Knows nothing about
values: every message is handed on, in order, to ``take``, and the future that gives back says when it is durable. Called by `source`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from asyncua import ua

from shinkei_events.errors import BadInput, NotConnected
from shinkei_gateway.opcua.decode import Message, Published

OUTSTANDING = 3
"""Publish requests that wait at the server: one is answered while the others are on their way."""
UNDURABLE = 8
"""Messages in the spool's hands. Servers keep at least twice as many messages as publish requests (Part 4 §5.14.1.1), most of them 100."""
MISSING_MAX = 1000
"""A hole wider than this is not asked for message by message."""
FAULTS_MAX = 20
"""So many faults in a row are no hiccup: the connection is given up."""

BAD_TOO_MANY_PUBLISH_REQUESTS = 0x8078_0000
BAD_NO_SUBSCRIPTION = 0x8079_0000
_TIMEOUT, _TOO_MANY_OPERATIONS = 0x800A_0000, 0x8010_0000
_FATAL = {
    BAD_NO_SUBSCRIPTION: "the server has no subscription of this session any more",
    0x8025_0000: "the server does not know the session", 0x8026_0000: "the server has closed the session",
    0x8027_0000: "the session is not activated", 0x8022_0000: "the server does not know the secure channel",
}  # fmt: skip


class Seen(NamedTuple):
    """What a response is. ``missing``: numbers that should have come before it; ``repeat``: its message was taken already."""

    missing: list[int]
    repeat: bool


class Publishing:
    """``subscription``: its id; ``last``: the last sequence number taken, None when the next one, whatever it is, is the first."""

    def __init__(self, subscription: int, last: int | None = None, outstanding: int = OUTSTANDING) -> None:
        self.subscription, self.last = subscription, last
        self.limit = outstanding
        self.outstanding = 0
        self._wanted = outstanding
        self._undurable: set[int] = set()
        self._acks: deque[int] = deque()
        self._faults = 0
        self._is_odd = self._is_handed_over = self._retains = False
        self._hollow: int | None = None

    def reconnected(self) -> None:
        """A new connection: no request is out. What is on its way to the disk is acknowledged here when it is there."""
        self.outstanding, self.limit, self._faults = 0, self._wanted, 0

    def requests(self, room: bool) -> list[list[int]]:
        """The acknowledgements of each publish request to send now; none while there is no ``room`` for what they would bring."""
        found: list[list[int]] = []
        while room and self.outstanding < self.limit and len(self._undurable) < UNDURABLE:
            found.append(list(self._acks))
            self._acks.clear()
            self.outstanding += 1
        return found

    def answered(self) -> None:
        """A request was answered with a PublishResponse."""
        self.outstanding -= 1
        self._faults = 0

    def refused(self, code: int, acks: list[int]) -> str | None:
        """A request that carried ``acks`` was answered with a fault; the reason when the subscription or session is of no use any more.

        Whether the acknowledgements counted is not known: they are sent again, which changes nothing when they did.
        """
        self.outstanding -= 1
        self._acks.extendleft(reversed(acks))
        if code == BAD_TOO_MANY_PUBLISH_REQUESTS and self.limit > 1:
            self.limit -= 1
            return None
        if code in _FATAL:
            return _FATAL[code]
        if code != _TIMEOUT:
            self._faults += 1
        return (
            f"publish requests are answered with {ua.StatusCode(ua.UInt32(code)).name}"
            if self._faults > FAULTS_MAX
            else None
        )

    def seen(self, sequence: int, is_message: bool, available: Sequence[int] = ()) -> Seen:
        """Judge the number of a response; call `took` for what was taken. A keep-alive has the number of the next message.

        Before the first message nobody knows where numbers begin; what the server has ``available`` from before was said to a connection that broke.
        """
        if not is_message and sequence == 0:
            return Seen([], False)
        if self.last is None:
            earlier = [number for number in available if 0 < distance(number, sequence) < 1 << 31]
            return Seen(sorted(earlier, key=lambda number: -distance(number, sequence))[-MISSING_MAX:], False)
        due = after(self.last)
        ahead = distance(due, sequence)
        if ahead >= 1 << 31:  # behind: a message sent again, or a server that counts keep-alives in its own way
            return Seen([], is_message)
        return Seen(run(due, min(ahead, MISSING_MAX)), False)

    def handed_over(self, available: list[int]) -> None:
        """The subscription was another session's, and these are the messages that the server still has."""
        self._is_handed_over = True
        self._retains |= bool(available)

    def judged(self, sequence: int, available: list[int], *, is_hollow: bool) -> None:
        """Before `seen` of a response: ``is_hollow`` when it holds notifications of which none says anything."""
        self._retains |= sequence in available
        self._hollow = sequence if is_hollow else self._hollow

    def is_void(self, sequence: int, missing: list[int]) -> bool:
        """Whether a message of ``missing`` that is not to be had holds nothing for us.

        It was hollow when it came; or it tells the session before that the subscription was handed over (Part 4 §5.14.7): that takes the
        number after those the server had then, and Milo 0.6 and 1.1 do not keep it. Believed only of a server that keeps its messages:
        one with values would be there.
        """
        return sequence == self._hollow or (self._is_handed_over and self._retains and missing == [sequence])

    def settled(self) -> None:
        """The first response since the subscription was handed over is dealt with."""
        self._is_handed_over = False

    def took(self, sequence: int) -> None:
        """The message ``sequence`` is in the spool's hands; `durable` follows, in any order."""
        self.last = sequence
        self._undurable.add(sequence)

    def kept_alive(self, sequence: int) -> bool:
        """A keep-alive says that ``sequence`` comes next: where nothing has come yet, what comes first is known from now on.

        Whether it proves that nothing is missing: not that of a server which counts keep-alives in a way of its own, ever.
        """
        if self.last is None and sequence:
            self.last = before(sequence)
        self._is_odd |= self.last is None or sequence != after(self.last)
        return not self._is_odd

    def durable(self, sequence: int) -> None:
        """The message may be acknowledged: with the next request, in the order in which messages became durable."""
        self._undurable.discard(sequence)
        self._acks.append(sequence)

    def repeated(self, sequence: int) -> None:
        """A message came once more: acknowledge it again unless it still is on its way to the disk."""
        if sequence not in self._undurable and sequence not in self._acks:
            self._acks.append(sequence)

    def known_before(self, available: list[int]) -> None:
        """What the server still has, and was durable before this connection, is acknowledged again (the acknowledgement was lost)."""
        if self.last is not None:
            open_ = self._undurable.union(self._acks)
            self._acks.extend(n for n in available if distance(n, self.last) < 1 << 31 and n not in open_)


def after(sequence: int) -> int:
    """Sequence numbers of messages go from 2^32 - 1 to 1 (Part 4 §7.26).

    >>> after(7), after(0xFFFF_FFFF)
    (8, 1)
    """
    return 1 if sequence >= 0xFFFF_FFFF else sequence + 1


def before(sequence: int) -> int:
    """The number before."""
    return 0xFFFF_FFFF if sequence <= 1 else sequence - 1


def distance(first: int, second: int) -> int:
    """Steps from ``first`` to ``second``, 0 … 2^32 - 2.

    >>> distance(0xFFFF_FFFF, 2), distance(2, 1) == 0xFFFF_FFFE
    (2, True)
    """
    return (second - first) % 0xFFFF_FFFF


def run(first: int, length: int) -> list[int]:
    """``length`` numbers from ``first`` on."""
    return [(first - 1 + step) % 0xFFFF_FFFF + 1 for step in range(length)]


class Wire(Protocol):
    """What the loop needs of a session."""

    def send_publish(self, subscription: int, acks: list[int]) -> asyncio.Future[Any]:
        """Send one PublishRequest; `published` reads what the future is done with. Raises `NotConnected`."""

    def published(self, answer: asyncio.Future[Any]) -> Published:
        """The response (a service fault too). Raises `NotConnected`, and `BadInput` when it cannot be read."""

    async def republish(self, subscription: int, sequence: int) -> Message | None:
        """The message once more, or None when the server has it no more. Raises as `published` does."""

    async def forget(self, subscription: int) -> None:
        """Delete a subscription that is not ours any more."""

    def fail(self, reason: str, *, gone: bool = False) -> None:
        """The connection is of no use any more; ``gone``: nor is the subscription."""


class Listener(Protocol):
    """Who is told what came; called one after the other."""

    def take(self, message: Message) -> asyncio.Future[None] | None:
        """Every message, once and in order. The future is done when it is durable (None: there is nothing to wait for)."""

    def alive(self, published: Published, proves: bool) -> None:
        """A keep-alive; ``proves``: everything up to its time was told."""

    async def lost(self, sequences: list[int]) -> None:
        """These messages nobody can have any more; what came after them is told next."""

    def unreadable(self, error: BadInput) -> None:
        """A response was not what it should be; its message is among the `lost`, once its number is known."""

    def has_room(self) -> bool:
        """False stops the sending of requests, and nothing else."""


def _is_message(published: Published) -> bool:
    """Whether a response has a message with a number of its own; else it is a keep-alive (Part 4 §5.14.1.1: no notifications in it).

    Of notifications that say nothing, as a DataChangeNotification without values, the number alone does not tell: a server that has counted
    them as a message keeps it for being asked again. Taken for a message by mistake it would hide the next one, which has its number.
    """
    says = published.values or published.bad or published.events or published.status_change is not None
    return bool(says) or (published.hollow and published.sequence in published.available)


class PublishLoop:
    """Use: `recover` after a reconnection, `run` in a task, `pump` when there may be room again."""

    def __init__(self, wire: Wire, state: Publishing, listener: Listener) -> None:
        self._wire, self.state, self._listener = wire, state, listener
        self._answers: asyncio.Queue[tuple[asyncio.Future[Any], list[int]]] = asyncio.Queue()
        self._is_first = state.last is not None
        self._ended = False

    def pump(self) -> None:
        """Send what may be sent now."""
        if self._ended:
            return
        try:
            for acks in self.state.requests(self._listener.has_room()):
                answer = self._wire.send_publish(self.state.subscription, acks)
                answer.add_done_callback(lambda done, acks=acks: self._arrived(done, acks))  # type: ignore[misc]
        except NotConnected as error:
            self._wire.fail(str(error))

    def _arrived(self, answer: asyncio.Future[Any], acks: list[int]) -> None:
        if not answer.cancelled():
            answer.exception()  # looked at here, as nobody may listen any more
        self._answers.put_nowait((answer, acks))

    async def run(self) -> None:
        """Until the connection fails (the wire is told) or the task is cancelled. What the listener raises leaves it."""
        try:
            self.pump()
            while True:
                answer, acks = await self._answers.get()
                try:
                    published = self._wire.published(answer)
                except BadInput as error:
                    self.state.answered()
                    self._listener.unreadable(error)
                else:
                    await self._answered(published, acks)
                self.pump()
        except NotConnected as error:
            self._wire.fail(str(error))
        finally:
            self._ended = True

    async def recover(self, available: list[int] | None) -> None:
        """Have all messages again that were sent while nobody heard: those ``available``, or one after the other while there are some."""
        while self.state.last is not None:
            due = after(self.state.last)
            message = await self._republish(due) if available is None or due in available else None
            if message is None:
                return
            self._message(message)

    async def _republish(self, sequence: int) -> Message | None:
        try:
            return await self._wire.republish(self.state.subscription, sequence)
        except BadInput as error:
            self._listener.unreadable(error)
            return None

    async def _answered(self, published: Published, acks: list[int]) -> None:
        state = self.state
        if published.service_result >= 0x8000_0000:
            reason = state.refused(published.service_result, acks)
            if reason is not None:
                self._wire.fail(reason, gone=published.service_result == BAD_NO_SUBSCRIPTION)
            return
        state.answered()
        if published.subscription != state.subscription:
            await self._wire.forget(published.subscription)
            return
        if self._is_first:
            self._is_first = False
            state.known_before(published.available)
        is_message = _is_message(published)
        state.judged(published.sequence, published.available, is_hollow=published.hollow and not is_message)
        seen = state.seen(published.sequence, is_message, published.available)
        if seen.missing:
            await self._fill(seen.missing, published.available)
        state.settled()
        if seen.repeat:
            state.repeated(published.sequence)
        elif is_message:
            p = published
            self._message(Message(p.sequence, p.publish_time, p.values, p.bad, p.status_change, p.events, p.more))
        else:
            self._listener.alive(published, state.kept_alive(published.sequence) and not published.more)

    async def _fill(self, missing: list[int], available: list[int]) -> None:
        """Messages that did not come: asked for again in order, and what is not to be had any more is told."""
        gone: list[int] = []
        for sequence in missing:
            has = not available or sequence in available
            message = await self._republish(sequence) if has else None
            if message is None and self.state.is_void(sequence, missing):
                self.state.last = sequence
                continue
            if message is None:
                gone.append(sequence)
                continue
            if gone:
                await self._listener.lost(gone)
                gone = []
            self._message(message)
        if gone:
            await self._listener.lost(gone)
            self.state.last = gone[-1]

    def _message(self, message: Message) -> None:
        state = self.state
        state.took(message.sequence)
        future = self._listener.take(message)
        if future is None:
            state.durable(message.sequence)
            return

        def done(kept: asyncio.Future[None]) -> None:
            if kept.cancelled() or kept.exception() is not None:
                return  # not durable: never acknowledged
            state.durable(message.sequence)
            self.pump()

        future.add_done_callback(done)
