"""What is asked of a gateway on `shinkei.commands.v1`: checked, carried out once, answered. Runs beside the forwarding, never in its way.

Knows no command's meaning: ``actions`` do. `kafka_link` hands in what it reads and sends the replies. A command that was under way when
the gateway was killed is carried out again after the restart while its deadline lasts; actions bear that.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Literal, Protocol

from shinkei_events.codec import encode
from shinkei_events.errors import NotConnected, ShinkeiError
from shinkei_events.identity import digest
from shinkei_events.model.progress import Command, Reply, SendAgain
from shinkei_events.telemetry import emit
from shinkei_events.topics import MAX_RECORD_BYTES
from shinkei_gateway.forward_telemetry import CommandAnswered, CommandBroke

ANSWERED_KEPT = 1000
WAITING_MAX = 100
LONGEST_S = 600.0
"""No command runs longer, whatever its deadline."""
ISSUER = re.compile(r"([a-z][a-z0-9_]*)/\S{1,200}")
ISSUERS = ("cli", "ui", "store")
Outcome = Literal["done", "refused", "failed", "expired"]
Action = Callable[[Command], Awaitable[dict[str, Any]]]
"""Carries out a command; returns its result, raises `NotConnected` when a peer is away and another `ShinkeiError` to refuse."""


class SendsAgain(Protocol):
    """Sends a stream again; returns the reply's result, raises a `ShinkeiError` to refuse."""

    def __call__(self, request: SendAgain, /, *, is_recorder: bool) -> dict[str, Any]: ...


class Commands:
    """One per shard. ``answered``: ids of commands that are done, and ``keep`` makes the list durable; ``issuers``: parts that may ask.

    ``send_again`` (``is_recorder``: a recorder asks, not a person) is carried out at once: the recorder waits for it.
    """

    def __init__(self, gateway: str, shard: str, actions: dict[type, Action], *, answered: Iterable[str], keep: Callable[[list[str]], object],
                 send_again: SendsAgain, concerns: Callable[[Command], bool] = lambda _command: True,
                 issuers: Iterable[str] = ISSUERS, clock: Callable[[], int] = time.time_ns) -> None:  # fmt: skip
        self._gateway, self._shard, self._actions = gateway, shard, actions
        self._answered, self._keep, self._send_again = list(answered), keep, send_again
        self._concerns, self._issuers, self._clock = concerns, frozenset(issuers), clock
        self._under_way: set[str] = set()
        self._waiting: deque[Command] = deque()
        self._worker: asyncio.Task[None] | None = None
        self._replies: deque[Reply] = deque()

    def take(self, command: Command) -> None:
        """A command read from the log, perhaps not for the first time, perhaps meant for another gateway. Call it in the event loop."""
        if (
            command.gateway != self._gateway
            or command.id in self._under_way
            or command.id in self._answered
            or not self._concerns(command)
        ):
            return
        refused = self._refusal(command)
        if refused is not None:
            self._answer(command, *refused)
        elif isinstance(command.request, SendAgain):
            self._answer(command, *self._do_again(command, command.request))
        else:
            self._under_way.add(command.id)
            self._waiting.append(command)
            if self._worker is None or self._worker.done():
                self._worker = asyncio.create_task(self._work(), name="commands")

    def replies(self) -> list[Reply]:
        """Answers that nobody has sent yet."""
        found = list(self._replies)
        self._replies.clear()
        return found

    async def close(self) -> None:
        """Give up what is under way; it is not answered."""
        self._waiting.clear()
        if self._worker is not None:
            self._worker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._worker

    # ---- inside --------------------------------------------------------------------------------------------------------
    def _refusal(self, command: Command) -> tuple[Outcome, str] | None:
        if command.deadline < self._clock():
            return "expired", ""
        issuer = ISSUER.fullmatch(command.issuer)
        if issuer is None or issuer[1] not in self._issuers:
            return "refused", f"{command.issuer!r} may not ask this gateway; gateway.issuers names who may"
        if len(self._waiting) >= WAITING_MAX:
            return "refused", f"{WAITING_MAX} commands wait already; ask again later"
        if not isinstance(command.request, SendAgain) and type(command.request) not in self._actions:
            return "refused", f"this gateway has no {type(command.request).__name__}"
        return None

    def _do_again(self, command: Command, request: SendAgain) -> tuple[Outcome, str, dict[str, Any]]:
        try:
            return "done", "", self._send_again(request, is_recorder=command.issuer.startswith("store/"))
        except ShinkeiError as error:
            return "refused", str(error), {}

    async def _work(self) -> None:
        while self._waiting:
            command = self._waiting.popleft()
            outcome, result, error = await self._do(command)
            self._under_way.discard(command.id)
            self._answer(command, outcome, error, result)

    async def _do(self, command: Command) -> tuple[Outcome, dict[str, Any], str]:
        left = min(LONGEST_S, (command.deadline - self._clock()) / 1e9)
        try:
            async with asyncio.timeout(max(0.0, left)):
                return "done", await self._actions[type(command.request)](command), ""
        except TimeoutError:
            return "failed", {}, "not done before its deadline"
        except NotConnected as error:
            return "failed", {}, str(error)
        except ShinkeiError as error:
            return "refused", {}, str(error)
        except Exception as error:  # noqa: BLE001  outermost: a surprise in one command must not end the others
            emit(CommandBroke(command.id, type(command.request).__name__, f"{type(error).__name__}: {error}"))
            return "failed", {}, f"an error of the gateway: {type(error).__name__}"

    def _answer(
        self, command: Command, outcome: Outcome, error: str = "", result: dict[str, Any] | None = None
    ) -> None:
        reply = Reply(
            id=digest("reply", command.id, self._shard), command=command.id, gateway=self._gateway, outcome=outcome, time=self._clock(),
            result=result or {}, error=error or None, shard=self._shard,
        )  # fmt: skip
        if (size := len(encode(reply))) > MAX_RECORD_BYTES:
            error = f"the answer has {size} bytes, more than {MAX_RECORD_BYTES}: ask for less"
            reply = Reply(
                id=reply.id,
                command=command.id,
                gateway=self._gateway,
                outcome="failed",
                time=reply.time,
                error=error,
                shard=self._shard,
            )
        emit(CommandAnswered(command.id, type(command.request).__name__, reply.outcome))
        self._answered = [*self._answered[-ANSWERED_KEPT:], command.id]
        self._keep(self._answered)
        if outcome != "expired":
            self._replies.append(reply)
