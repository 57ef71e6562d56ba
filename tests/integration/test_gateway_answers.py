"""Answers written back to a machine after a handshake: once, after the operation is durable, by their own user, each with an event."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from asyncua import Server, ua
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.server.user_managers import UserManager

from shinkei_events.model.numbered import NodeWrite
from shinkei_events.model.operation import Operation
from shinkei_gateway.opcua import answering
from shinkei_gateway.opcua.source import OpcuaMachine
from tests.support.counting_machine import URI, settings
from tests.support.fake_intake import FakeIntake
from tests.support.ports import free_port
from tests.support.secure_machine import SecureMachine, secured, server_identity
from tests.support.waiting import eventually_async

READS = {"name": "shinkei", "password": "env:SHINKEI_TEST_READS"}
WRITES = {"name": "shinkei-answers", "password": "env:SHINKEI_TEST_WRITES"}
PASSWORDS = {"shinkei": "reads-only", "shinkei-answers": "writes-answers"}
ACK = f"nsu={URI};s=Ack"


class AnsweredMachine(SecureMachine):
    """Has a node ``Ack`` that only `WRITES` may write. ``writes``: what came from outside, with the user; ``gate``: writes wait for it."""

    def __init__(self) -> None:
        super().__init__(free_port(), server_identity())
        self.writes: list[tuple[str, Any]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def offer(self, server: Server) -> None:
        await super().offer(server)
        server.iserver.user_manager = _TwoUsers()

    async def start(self) -> None:
        await super().start()
        index = await self._server.get_namespace_index(URI)
        await self._node("Ack", index, 0, ua.VariantType.UInt16)
        service = self._server.iserver.attribute_service
        write = service.write

        async def told(params: ua.WriteParameters, user: User) -> list[ua.StatusCode]:
            if params.NodesToWrite[0].NodeId == self._nodes["Ack"]:
                self.writes.append((str(user.name), params.NodesToWrite[0].Value.Value.Value))
                await self.gate.wait()
            found: list[ua.StatusCode] = await write(params, user=user)
            return found

        service.write = told  # type: ignore[method-assign,assignment]  # what it takes and gives is the same

    async def acknowledged(self) -> Any:
        data = await self._server.get_node(self._nodes["Ack"]).read_data_value(raise_on_bad_status=False)
        return None if data.Value is None else data.Value.Value


class _TwoUsers(UserManager):
    def get_user(self, iserver: Any, username: str | None = None, password: str | None = None, certificate: Any = None) -> User | None:  # fmt: skip
        if username is None or PASSWORDS.get(username) != password:
            return None
        return User(role=UserRole.Admin if username == WRITES["name"] else UserRole.User, name=username)


Test = Callable[[AnsweredMachine, FakeIntake, Callable[..., OpcuaMachine]], Awaitable[None]]


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Test], None]:
    monkeypatch.setenv("SHINKEI_TEST_READS", PASSWORDS["shinkei"])
    monkeypatch.setenv("SHINKEI_TEST_WRITES", PASSWORDS["shinkei-answers"])

    async def whole(test: Test) -> None:
        machine, intake = AnsweredMachine(), FakeIntake()
        await machine.start()
        (handshake,) = settings(machine.url)["handshakes"]
        answered = [handshake | {"answer": {"node": ACK, "good": 1, "bad": 2}}]

        def source(**more: Any) -> OpcuaMachine:
            answers = {"user": WRITES, "nodes": [{"node": ACK, "values": [1, 2]}], "within": "60s"}
            wish = {"user": READS, "timeout": "20s", "handshakes": answered, "answers": answers} | more
            made, pki, security = secured(tmp_path, machine.url, **wish)
            pki.trust(machine.identity.certificate)
            return OpcuaMachine("src", made, intake, security=security)

        try:
            await asyncio.wait_for(test(machine, intake, source), 300)
        finally:
            machine.gate.set()
            await machine.stop()

    return lambda test: asyncio.run(whole(test))


@contextlib.asynccontextmanager
async def running(made: OpcuaMachine, *, kill: bool = False) -> Any:
    stop = asyncio.Event()
    task = asyncio.create_task(made.run(stop))
    try:
        await eventually_async(lambda: made.health()["connected"], 30)
        yield made
    finally:
        if kill:
            task.cancel()
        stop.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait_for(task, 60)


def told(intake: FakeIntake) -> list[tuple[str, Any]]:
    return [(draft.fields["outcome"], draft.fields["value"]) for draft in intake.drafts(NodeWrite)]


async def first_seen(machine: AnsweredMachine, made: OpcuaMachine, intake: FakeIntake) -> None:
    """The trigger's first value is no edge; the next one will be."""
    await machine.step()
    await eventually_async(lambda: bool(intake.readings("t0")) and made.health()["newest"] is not None, 30)


def test_an_answer_is_written_by_its_own_user_once_the_operation_is_durable(check: Any) -> None:
    async def test(machine: AnsweredMachine, intake: FakeIntake, source: Callable[..., OpcuaMachine]) -> None:
        async with running(source()) as made:
            await first_seen(machine, made, intake)
            await eventually_async(lambda: any(batch.source == "src@signals" for batch in intake.batches), 30)
            await machine.cycle()
            await eventually_async(
                lambda: told(intake) == [("written", 1)], 30
            )  # the connection is there: a write takes ms
            intake.hold = True
            await machine.cycle()
            await eventually_async(lambda: any(getattr(i, "type", None) is Operation for b, _ in intake._waiting for i in b.items), 30)  # fmt: skip
            await asyncio.sleep(0.5)  # nothing tells that nothing is written
            assert len(machine.writes) == 1, "the machine was answered before its operation is on disk"
            intake.hold = False
            intake.release()
            await eventually_async(lambda: told(intake) == [("written", 1)] * 2, 30)
            await machine.cycle(values=False)  # its operation's text does not come
            await eventually_async(lambda: len(told(intake)) == 3, 30)
            assert await machine.acknowledged() == 2
            all_told = {"waiting": 0, "told": {"written": 3}, "error": ""}
            await eventually_async(lambda: made.health()["answers"] == all_told, 30)
        assert machine.writes == [(WRITES["name"], value) for value in (1, 1, 2)]
        operations = [draft.fields["operation_id"] for draft in intake.drafts(Operation)]
        events = [draft.fields for draft in intake.drafts(NodeWrite)]
        assert [event["operation_id"] for event in events] == operations
        assert {(event["node"], event["user"], event["handshake"]) for event in events} == {(ACK, WRITES["name"], "cycle")}  # fmt: skip
        kinds = [d.type for d in intake.drafts() if d.type in (Operation, NodeWrite)]
        assert kinds == [Operation, NodeWrite] * 3

    check(test)


def test_nothing_is_written_by_a_source_that_is_not_told_to(check: Any) -> None:
    async def test(machine: AnsweredMachine, intake: FakeIntake, source: Callable[..., OpcuaMachine]) -> None:
        off = settings(machine.url)["handshakes"]
        async with running(source(handshakes=off)) as made:
            await first_seen(machine, made, intake)
            await machine.cycle()
            await eventually_async(lambda: len(intake.drafts(Operation)) == 1, 30)
            await machine.step()
            await eventually_async(lambda: intake.readings("t0")[-1].value == machine.count, 30)
        assert (machine.writes, told(intake)) == ([], [])

    check(test)


def test_what_the_list_does_not_have_any_more_is_refused_and_told(check: Any) -> None:
    async def test(machine: AnsweredMachine, intake: FakeIntake, source: Callable[..., OpcuaMachine]) -> None:
        wrong = {"user": WRITES | {"password": "env:SHINKEI_TEST_READS"}, "nodes": [{"node": ACK, "values": [1, 2]}], "within": "60s"}  # fmt: skip
        async with running(source(answers=wrong)) as made:
            await first_seen(machine, made, intake)
            await machine.cycle()
            await eventually_async(lambda: "shinkei-answers" in made.health()["answers"]["error"], 30)
            assert made.health()["answers"]["waiting"] == 1
        async with running(source(handshakes=settings(machine.url)["handshakes"], answers=None)):
            await eventually_async(lambda: told(intake) == [("not_allowed", 1)], 30)
        assert machine.writes == []

    check(test)


def test_a_failure_is_told_and_not_tried_again(check: Any) -> None:
    async def test(machine: AnsweredMachine, intake: FakeIntake, source: Callable[..., OpcuaMachine]) -> None:
        text = f"nsu={URI};s=Op"  # a text: no number fits it
        gone = f"nsu={URI};s=Nowhere"
        (handshake,) = settings(machine.url)["handshakes"]
        answers = {
            "user": WRITES,
            "nodes": [{"node": text, "values": [1]}, {"node": gone, "values": [1]}],
            "within": "60s",
        }
        for node, why in ((text, "does not fit"), (gone, "BadNodeIdUnknown")):
            wish = [handshake | {"answer": {"node": node, "good": 1}}]
            async with running(source(handshakes=wish, answers=answers)) as made:
                await first_seen(machine, made, intake)
                before = len(told(intake))
                await machine.cycle()
                await eventually_async(lambda before=before: len(told(intake)) == before + 1, 30)
            last = intake.drafts(NodeWrite)[-1].fields
            assert last["outcome"] == "failed"
            assert why in last["detail"]
        refuses = {
            "user": READS,
            "nodes": [{"node": ACK, "values": [1, 2]}],
            "within": "60s",
        }  # this user has no right to write
        async with running(source(user=WRITES, answers=refuses)) as made:
            await first_seen(machine, made, intake)
            await machine.cycle()
            await eventually_async(lambda: len(told(intake)) == 3, 30)
        last = intake.drafts(NodeWrite)[-1].fields
        assert (last["outcome"], last["detail"]) == ("failed", "BadUserAccessDenied")
        assert machine.writes == [("shinkei", 1)]
        assert await machine.acknowledged() == 0

    check(test)


@pytest.mark.parametrize("how", ["killed", "cut"])
def test_a_write_whose_answer_never_came_is_told_as_unproven_and_never_done_twice(check: Any, how: str) -> None:
    async def test(machine: AnsweredMachine, intake: FakeIntake, source: Callable[..., OpcuaMachine]) -> None:
        machine.gate.clear()
        async with running(source(timeout="4s" if how == "cut" else "20s"), kill=how == "killed") as made:
            await first_seen(machine, made, intake)
            await machine.cycle()
            await eventually_async(lambda: machine.writes == [(WRITES["name"], 1)], 30)
            if how == "cut":
                await eventually_async(lambda: told(intake) == [("unproven", 1)], 30)  # no answer in time
                machine.gate.set()
                await machine.cycle()
                await eventually_async(lambda: len(told(intake)) == 2, 30)
        if how == "killed":
            assert told(intake) == [], "nobody could know yet"
            machine.gate.set()
            async with running(source()) as made:
                await eventually_async(lambda: told(intake) == [("unproven", 1)], 30)
                await machine.cycle()
                await eventually_async(lambda: len(told(intake)) == 2, 30)
        assert told(intake)[1] == ("written", 1)
        assert len(machine.writes) == 2, "one for each operation"
        assert len({draft.fields["operation_id"] for draft in intake.drafts(NodeWrite)}) == 2

    check(test)


def test_after_a_restart_an_answered_operation_is_not_answered_again(check: Any) -> None:
    async def test(machine: AnsweredMachine, intake: FakeIntake, source: Callable[..., OpcuaMachine]) -> None:
        async with running(source()) as made:
            await first_seen(machine, made, intake)
            await machine.cycle()
            await eventually_async(lambda: len(told(intake)) == 1, 30)
        async with running(source()) as made:
            await machine.step()
            await eventually_async(lambda: intake.readings("t0")[-1].value == machine.count, 30)
        assert machine.writes == [(WRITES["name"], 1)]
        assert told(intake) == [("written", 1)]

    check(test)


def test_a_surprise_costs_one_answer_and_the_next_is_written(check: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    variant, surprises = answering._variant, 1

    async def surprised(*about: Any) -> ua.Variant:
        nonlocal surprises
        surprises -= 1
        if surprises >= 0:
            raise RuntimeError("nobody thought of this")
        return await variant(*about)

    monkeypatch.setattr(answering, "_variant", surprised)

    async def test(machine: AnsweredMachine, intake: FakeIntake, source: Callable[..., OpcuaMachine]) -> None:
        async with running(source()) as made:
            await first_seen(machine, made, intake)
            await machine.cycle()
            await eventually_async(lambda: told(intake) == [("failed", 1)], 30)
            await machine.cycle()
            await eventually_async(lambda: told(intake) == [("failed", 1), ("written", 1)], 30)
            assert made.health()["connections"] == 1
        assert "nobody thought of this" in intake.drafts(NodeWrite)[0].fields["detail"]
        assert machine.writes == [(WRITES["name"], 1)]

    check(test)


def test_an_answer_that_is_late_or_overtaken_by_a_later_edge_is_told_and_never_written(check: Any) -> None:
    async def test(machine: AnsweredMachine, intake: FakeIntake, source: Callable[..., OpcuaMachine]) -> None:
        wrong = {"user": WRITES | {"password": "env:SHINKEI_TEST_READS"}, "nodes": [{"node": ACK, "values": [1, 2]}], "within": "1s"}  # fmt: skip
        async with running(source(answers=wrong)) as made:
            await first_seen(machine, made, intake)
            await machine.cycle()
            await eventually_async(lambda: told(intake) == [("late", 1)], 30)
        async with running(source()) as made:
            await first_seen(machine, made, intake)
            intake.hold = True
            for count in (1, 2):
                await machine.cycle()
                await eventually_async(lambda count=count: _waiting_operations(intake) == count, 30)
            intake.hold = False
            intake.release()
            await eventually_async(lambda: len(told(intake)) == 3, 30)
        assert told(intake)[1:] == [("superseded", 1), ("written", 1)]
        assert machine.writes == [(WRITES["name"], 1)]
        operations = [draft.fields["operation_id"] for draft in intake.drafts(Operation)]
        assert [draft.fields["operation_id"] for draft in intake.drafts(NodeWrite)] == operations

    check(test)


def test_edges_of_two_handshakes_at_once_are_both_answered(check: Any) -> None:
    async def test(machine: AnsweredMachine, intake: FakeIntake, source: Callable[..., OpcuaMachine]) -> None:
        (handshake,) = settings(machine.url)["handshakes"]
        both = [
            handshake | {"name": name, "answer": {"node": ACK, "good": good}} for name, good in (("a", 1), ("b", 2))
        ]
        async with running(source(handshakes=both)) as made:
            await first_seen(machine, made, intake)
            await machine.cycle()
            await eventually_async(lambda: len(told(intake)) == 2, 30)
            await machine.cycle()
            await eventually_async(lambda: len(told(intake)) == 4, 30)
        assert sorted(told(intake)) == [("written", 1)] * 2 + [("written", 2)] * 2
        assert sorted(machine.writes) == [(WRITES["name"], 1)] * 2 + [(WRITES["name"], 2)] * 2
        assert len({draft.fields["operation_id"] for draft in intake.drafts(NodeWrite)}) == 4

    check(test)


def _waiting_operations(intake: FakeIntake) -> int:
    return sum(getattr(item, "type", None) is Operation for batch, _ in intake._waiting for item in batch.items)
