"""The publish traffic of one subscription: numbers, holes, acknowledgements, and a server that wants fewer requests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shinkei_events.errors import BadInput
from shinkei_gateway.opcua.decode import Message, Published
from shinkei_gateway.opcua.publish_loop import (
    BAD_NO_SUBSCRIPTION,
    BAD_TOO_MANY_PUBLISH_REQUESTS,
    FAULTS_MAX,
    UNDURABLE,
    Publishing,
    PublishLoop,
    after,
    before,
    distance,
    run,
)

LAST = 0xFFFF_FFFF
BAD_INTERNAL_ERROR = 0x8002_0000


def message(sequence: int) -> Message:
    return Message(sequence, None, [(0, sequence, 0, 1, 1)], [], None, [])


def response(
    sequence: int, *, has: bool = True, available: tuple[int, ...] = (), result: int = 0, subscription: int = 7, hollow: bool = False
) -> Published:  # fmt: skip
    values = message(sequence).values if has and not hollow else []
    return Published(subscription, sequence, None, list(available), False, [], result, values, [], None, [], hollow)


@given(st.integers(1, LAST), st.integers(0, 1000))
def test_numbers_go_round_and_are_never_zero(first: int, steps: int) -> None:
    found = run(first, steps + 1)
    assert all(1 <= number <= LAST for number in found)
    assert distance(first, found[-1]) == steps
    assert all(after(a) == b and before(b) == a for a, b in pairwise(found))


def test_acknowledgements_ride_in_the_order_in_which_messages_became_durable() -> None:
    state = Publishing(7)
    assert state.requests(room=True) == [[], [], []]
    for sequence in (1, 2):
        state.answered()
        state.took(sequence)
    assert state.requests(room=True) == [[], []]
    state.durable(1)
    state.durable(2)
    state.answered()
    assert state.requests(room=True) == [[1, 2]]


def test_no_request_without_room_or_with_too_much_in_the_spools_hands() -> None:
    state = Publishing(7)
    assert state.requests(room=False) == []
    for sequence in run(1, UNDURABLE):
        state.took(sequence)
    assert state.requests(room=True) == []
    state.durable(1)
    assert len(state.requests(room=True)) == 3


def test_a_server_that_wants_fewer_requests_gets_fewer_and_loses_no_acknowledgement() -> None:
    state = Publishing(7)
    state.took(1)
    state.durable(1)
    assert state.requests(room=True) == [[1], [], []]
    assert state.refused(BAD_TOO_MANY_PUBLISH_REQUESTS, [1]) is None
    assert (state.limit, state.requests(room=True)) == (2, [])
    for _ in range(5):
        state.refused(BAD_TOO_MANY_PUBLISH_REQUESTS, [])
    assert state.limit == 1
    state.outstanding = 0
    assert state.requests(room=True) == [[1]]


def test_faults_in_a_row_end_the_connection_and_one_does_not() -> None:
    state = Publishing(7)
    assert [state.refused(BAD_INTERNAL_ERROR, []) for _ in range(FAULTS_MAX)] == [None] * FAULTS_MAX
    assert "BadInternalError" in (state.refused(BAD_INTERNAL_ERROR, []) or "")
    assert Publishing(7).refused(BAD_NO_SUBSCRIPTION, []) is not None


@pytest.mark.parametrize(
    ("last", "sequence", "is_message", "missing", "repeat"),
    [
        (None, 5, True, [], False),
        (4, 5, True, [], False),
        (4, 7, True, [5, 6], False),
        (4, 5, False, [], False),  # a keep-alive has the number of the next message
        (4, 6, False, [5], False),
        (4, 4, False, [], False),  # some servers say the last one
        (4, 0, False, [], False),
        (4, 4, True, [], True),
        (LAST, 1, True, [], False),
        (LAST - 1, 2, True, [LAST, 1], False),
        (1, LAST, True, [], True),
    ],
)
def test_numbers_are_judged(
    last: int | None, sequence: int, is_message: bool, missing: list[int], repeat: bool
) -> None:
    assert Publishing(7, last).seen(sequence, is_message) == (missing, repeat)


class Server:
    """A wire and a listener: messages ``kept`` can be had again, ``garbled`` ones cannot be read."""

    def __init__(self) -> None:
        self.kept: set[int] = set()
        self.garbled: set[int] = set()
        self.acks: list[list[int]] = []
        self.open: list[asyncio.Future[Any]] = []
        self.told: list[Any] = []
        self.failed = ""
        self.forgotten: list[int] = []
        self.futures: dict[int, asyncio.Future[None]] = {}
        self.room = True

    def send_publish(self, subscription: int, acks: list[int]) -> asyncio.Future[Any]:
        self.acks.append(acks)
        self.open.append(asyncio.get_running_loop().create_future())
        return self.open[-1]

    def published(self, answer: asyncio.Future[Any]) -> Published:
        found: Published = answer.result()
        if found.sequence in self.garbled:
            raise BadInput("cut short")
        return found

    async def republish(self, subscription: int, sequence: int) -> Message | None:
        await asyncio.sleep(0)
        if sequence in self.garbled:
            raise BadInput("cut short")
        return message(sequence) if sequence in self.kept else None

    async def forget(self, subscription: int) -> None:
        self.forgotten.append(subscription)

    def fail(self, reason: str, *, gone: bool = False) -> None:
        self.failed = reason

    def take(self, message: Message) -> asyncio.Future[None] | None:
        self.told.append(message.sequence)
        future = self.futures[message.sequence] = asyncio.get_running_loop().create_future()
        return future

    def alive(self, published: Published, proves: bool) -> None:
        self.told.append("alive" if proves else "alive?")

    async def lost(self, sequences: list[int]) -> None:
        self.told.append(("lost", *sequences))

    def unreadable(self, error: BadInput) -> None:
        self.told.append("unreadable")

    def has_room(self) -> bool:
        return self.room

    async def answer(self, *responses: Published) -> None:
        for one in responses:
            self.open.pop(0).set_result(one)
            for _ in range(10):
                await asyncio.sleep(0)


def check(last: int | None, test: Callable[[Server, PublishLoop], Awaitable[None]]) -> None:
    async def whole() -> None:
        server = Server()
        loop = PublishLoop(server, Publishing(7, last), server)
        task = asyncio.create_task(loop.run())
        await asyncio.sleep(0)
        await test(server, loop)
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(whole())


def test_a_hole_is_filled_in_order_and_what_is_gone_is_told_in_its_place() -> None:
    async def test(server: Server, loop: PublishLoop) -> None:
        server.kept = {2, 5}
        await server.answer(response(1), response(7))
        assert server.told == [1, 2, ("lost", 3, 4), 5, ("lost", 6), 7]

    check(None, test)


def test_what_the_server_says_it_has_not_is_not_asked_for() -> None:
    async def test(server: Server, loop: PublishLoop) -> None:
        server.kept = {2, 3}
        await server.answer(response(1), response(4, available=(3, 4)))
        assert server.told == [1, ("lost", 2), 3, 4]

    check(None, test)


def test_a_keep_alive_tells_of_a_hole_as_well() -> None:
    async def test(server: Server, loop: PublishLoop) -> None:
        server.kept = {5}
        await server.answer(response(6, has=False), response(6))
        assert server.told == [5, "alive", 6]

    check(4, test)


def test_nothing_is_acknowledged_before_its_future_is_done_and_never_when_it_fails() -> None:
    async def test(server: Server, loop: PublishLoop) -> None:
        await server.answer(response(1), response(2), response(3))
        assert server.acks == [[], [], [], [], [], []]
        server.futures[2].set_result(None)
        server.futures[1].set_exception(OSError("the disk is gone"))
        await server.answer(response(4))
        assert server.acks[-1] == [2]

    check(None, test)


def test_a_repeat_is_acknowledged_again_and_told_no_more() -> None:
    async def test(server: Server, loop: PublishLoop) -> None:
        await server.answer(response(1))
        server.futures[1].set_result(None)
        await server.answer(response(1), response(2))
        assert server.told == [1, 2]
        assert [1] in server.acks

    check(None, test)


def test_after_a_reconnection_everything_unheard_is_taken_before_anything_new() -> None:
    async def whole() -> None:
        server = Server()
        server.kept = {4, 5, 6}
        loop = PublishLoop(server, Publishing(7, 4), server)
        await loop.recover(None)
        assert (server.told, server.acks) == ([5, 6], [])
        task = asyncio.create_task(loop.run())
        await asyncio.sleep(0)
        server.futures[5].set_result(None)
        await server.answer(response(7, available=(3, 4, 6, 7)))
        assert server.told == [5, 6, 7]
        assert server.acks[-1][0] == 5
        assert {3, 4} <= set(server.acks[-1]), "acknowledgements that were lost with the connection"
        assert 6 not in server.acks[-1], "not on disk yet"
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(whole())


def test_what_was_said_first_to_a_connection_that_broke_is_taken_before_anything_new() -> None:
    async def test(server: Server, loop: PublishLoop) -> None:
        server.kept = {LAST, 1, 2}
        await server.answer(response(2, available=(LAST, 1, 2)), response(1, available=(LAST, 1, 2)))
        assert server.told == [LAST, 1, 2]

    check(None, test)


def test_a_keep_alive_before_the_first_message_brings_what_was_said_before_too() -> None:
    async def test(server: Server, loop: PublishLoop) -> None:
        server.kept = {1}
        await server.answer(response(2, has=False, available=(1,)), response(2, available=(1, 2)))
        assert server.told == [1, "alive", 2]

    check(None, test)


def test_a_response_that_cannot_be_read_costs_its_own_message_alone() -> None:
    async def test(server: Server, loop: PublishLoop) -> None:
        server.garbled, server.kept = {2}, {2}
        await server.answer(response(1), response(2), response(3))
        assert server.told == [1, "unreadable", "unreadable", ("lost", 2), 3]
        assert server.failed == ""

    check(None, test)


def test_messages_of_another_subscription_end_it() -> None:
    async def test(server: Server, loop: PublishLoop) -> None:
        await server.answer(response(1, subscription=3), response(1))
        assert (server.forgotten, server.told) == ([3], [1])

    check(None, test)


def test_without_a_subscription_there_is_no_connection() -> None:
    async def test(server: Server, loop: PublishLoop) -> None:
        await server.answer(response(0, has=False, result=BAD_NO_SUBSCRIPTION))
        assert "no subscription" in server.failed

    check(None, test)


def test_what_the_session_before_was_told_of_the_transfer_is_no_loss() -> None:
    """The number after those that the server had at the transfer went to the old session (Milo does not keep it)."""

    async def test(server: Server, loop: PublishLoop) -> None:
        loop.state.handed_over([5, 6])
        server.kept = {5, 6}
        await loop.recover([5, 6])
        await server.answer(response(8, available=(5, 6, 8)), response(10, available=(5, 6, 8, 10)))
        assert server.told == [5, 6, 8, ("lost", 9), 10], "that one number alone, and once"

    check(4, test)


@pytest.mark.parametrize(
    ("available", "sequence", "told"),
    [
        ((), 8, [("lost", 7), 8]),  # it keeps nothing: who knows what 7 was
        ((9,), 9, [("lost", 7, 8), 9]),
        ((7, 8), 8, [7, 8]),  # it has 7: a message, or what the old session was told, as others keep it
        ((7,), 7, [7]),
    ],
)
def test_after_a_transfer_other_holes_are_losses(available: tuple[int, ...], sequence: int, told: list[Any]) -> None:
    async def test(server: Server, loop: PublishLoop) -> None:
        loop.state.handed_over([])
        server.kept = set(available)
        await server.answer(response(sequence, available=available))
        assert server.told == told

    check(6, test)


def test_without_a_transfer_the_same_hole_is_a_loss() -> None:
    async def test(server: Server, loop: PublishLoop) -> None:
        await server.answer(response(8, available=(8,)))
        assert server.told == [("lost", 7), 8]

    check(6, test)


@pytest.mark.parametrize("available", [(5,), ()])
def test_notifications_without_values_are_a_message_only_where_the_server_counts_them(
    available: tuple[int, ...],
) -> None:
    async def counts(server: Server, loop: PublishLoop) -> None:
        await server.answer(response(5, hollow=True, available=available), response(6))
        assert server.told == ([5, 6] if available else ["alive", 6]), (
            "not kept by the server, and nothing in it: no loss"
        )

    async def keeps_alive(server: Server, loop: PublishLoop) -> None:
        await server.answer(response(5, hollow=True), response(5), response(6))
        assert server.told == ["alive", 5, 6]

    check(4, counts)
    check(4, keeps_alive)
