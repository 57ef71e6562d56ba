"""Commands: checked, carried out once, answered; one that is slow, wrong or too big harms no other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from shinkei_events.errors import BadInput, NotConnected
from shinkei_events.identity import StreamId
from shinkei_events.model.progress import Browse, Command, Preview, Request, SendAgain
from shinkei_gateway.commands import Commands
from shinkei_gateway.opcua import asked
from tests.support.waiting import eventually_async

NOW = 1_800_000_000_000_000_000
STREAM = StreamId("e", "M", "signals")


def command(id: str, request: Request | None = None, **more: Any) -> Command:
    made = Command(
        id=id, gateway="gw", issuer="cli/0", deadline=NOW + 10**9, request=request or Preview(source="s", nodes=["i=1"])
    )
    return msgspec.structs.replace(made, **more)


class Bench:
    def __init__(
        self, action: Callable[[Command], Awaitable[dict[str, Any]]], answered: list[str] | None = None
    ) -> None:
        self.kept: list[list[str]] = []
        self.again: list[tuple[SendAgain, bool]] = []
        self.commands = Commands(
            "gw", "0", {Preview: action}, answered=answered or [], keep=self.kept.append, send_again=self.send_again, clock=lambda: NOW
        )  # fmt: skip
        self.replies: list[tuple[str, str, str | None]] = []

    def send_again(self, request: SendAgain, *, is_recorder: bool) -> dict[str, Any]:
        if request.number < 1:
            raise BadInput("no such number")
        self.again.append((request, is_recorder))
        return {"from": request.number}

    async def answers(self, count: int) -> list[tuple[str, str, str | None]]:
        def come() -> bool:
            self.replies += [(r.command, r.outcome, r.error) for r in self.commands.replies()]
            return len(self.replies) >= count

        await eventually_async(come)
        return self.replies


async def fine(_command: Command) -> dict[str, Any]:
    return {"fine": True}


def test_a_command_is_carried_out_once_however_often_it_is_read() -> None:
    async def test() -> None:
        bench = Bench(fine, ["old"])
        for id in ("a", "a", "old", "b", "a"):
            bench.commands.take(command(id))
        bench.commands.take(command("c", gateway="another"))
        assert [found[:2] for found in await bench.answers(2)] == [("a", "done"), ("b", "done")]
        bench.commands.take(command("a"))
        assert bench.kept[-1] == ["old", "a", "b"], "what is answered is made durable"
        assert bench.commands.replies() == []

    asyncio.run(test())


@pytest.mark.parametrize(
    ("more", "outcome"),
    [
        ({"issuer": "nobody"}, "refused"), ({"issuer": "plant/x"}, "refused"), ({"issuer": "cli/a b"}, "refused"),
        ({"request": Browse(source="s")}, "refused"), ({"deadline": NOW - 1}, None),
    ],
)  # fmt: skip
def test_what_may_not_be_asked_is_refused_and_what_is_too_late_is_not_answered(
    more: dict[str, Any], outcome: str | None
) -> None:
    async def test() -> None:
        bench = Bench(fine)
        bench.commands.take(command("x", **more))
        assert [reply.outcome for reply in bench.commands.replies()] == ([outcome] if outcome else [])
        assert bench.kept == [["x"]]

    asyncio.run(test())


def test_send_again_does_not_wait_for_a_slow_command() -> None:
    async def test() -> None:
        held = asyncio.Event()

        async def slow(_command: Command) -> dict[str, Any]:
            await held.wait()
            return {}

        bench = Bench(slow)
        bench.commands.take(command("slow"))
        await asyncio.sleep(0)
        bench.commands.take(command("urgent", SendAgain(stream=STREAM, number=7), issuer="store/recorder"))
        bench.commands.take(command("person", SendAgain(stream=STREAM, number=8)))
        assert [(again.number, is_recorder) for again, is_recorder in bench.again] == [(7, True), (8, False)]
        held.set()
        assert [found[0] for found in await bench.answers(3)] == ["urgent", "person", "slow"]

    asyncio.run(test())


def test_send_again_is_answered_with_what_follows_or_refused() -> None:
    async def test() -> None:
        bench = Bench(fine)
        bench.commands.take(command("right", SendAgain(stream=STREAM, number=8)))
        bench.commands.take(command("wrong", SendAgain(stream=STREAM, number=0)))
        found = {reply.command: (reply.outcome, reply.result, reply.error) for reply in bench.commands.replies()}
        assert found == {"right": ("done", {"from": 8}, None), "wrong": ("refused", {}, "no such number")}

    asyncio.run(test())


def test_errors_are_answers() -> None:
    async def test() -> None:
        async def wrong(asked: Command) -> dict[str, Any]:
            if asked.id == "late":
                await asyncio.sleep(30)
            if asked.id == "big":
                return {"text": "x" * 600_000}
            raise {"away": NotConnected("away"), "bad": BadInput("bad"), "bug": ZeroDivisionError("0")}[asked.id]

        bench = Bench(wrong)
        for id in ("away", "bad", "bug", "big"):
            bench.commands.take(command(id))
        bench.commands.take(command("late", deadline=NOW + 50_000_000))
        found = {id: (outcome, error or "") for id, outcome, error in await bench.answers(5)}
        assert {id: outcome for id, (outcome, _) in found.items()} == {
            "away": "failed", "bad": "refused", "bug": "failed", "big": "failed", "late": "failed"
        }  # fmt: skip
        assert "ask for less" in found["big"][1]
        assert "deadline" in found["late"][1]

    asyncio.run(test())


def test_a_killed_command_is_not_taken_for_answered() -> None:
    async def test() -> None:
        async def endless(_command: Command) -> dict[str, Any]:
            await asyncio.Event().wait()
            return {}

        bench = Bench(endless)
        bench.commands.take(command("a"))
        await asyncio.sleep(0)
        await bench.commands.close()
        assert (bench.commands.replies(), bench.kept) == ([], [])

    asyncio.run(test())


def test_a_source_that_is_none_has_no_nodes_or_is_away_is_told() -> None:
    async def test() -> None:
        class Away:
            session = None

        sources: dict[str, object] = {"mqtt": object(), "away": Away()}
        preview = asked.actions(sources.get)[Preview]
        for source, error in (("none", BadInput), ("mqtt", BadInput), ("away", NotConnected)):
            with pytest.raises(error, match=source):
                await preview(command("x", Preview(source=source, nodes=["i=1"])))

    asyncio.run(test())


def test_an_answer_keeps_what_fits() -> None:
    rows = [{"node": "x" * 1000, "value": at} for at in range(1000)]
    kept = asked.bounded(rows)
    assert 300 < len(kept) < 400
    assert kept == rows[: len(kept)]
