"""Writes answers to a machine, as a user of its own: once, after the operation is durable, each with an event of what became of it.

The shell around `answer`. At most once: the intention is durable before the write leaves, and what was begun is never begun again, so a
gateway killed in between never writes twice – it tells the answer as ``unproven``. An answer too few is what a machine waits for and a
person sees; one too many would confirm the next cycle. Off unless the source says ``answers``. `run` is a task beside the values of each
connection; called by `source`.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol

from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds

from shinkei_events.errors import BadConfig, BadInput, NotConnected, RetryAfter
from shinkei_events.model.numbered import NodeWrite
from shinkei_events.telemetry import emit
from shinkei_gateway.intake import Batch, Draft
from shinkei_gateway.opcua.answer import Due, Ended, Now, Open, fitting
from shinkei_gateway.opcua.session import Secure, Session
from shinkei_gateway.opcua.settings import OpcuaSource, OpcuaUser
from shinkei_gateway.quality import BAD
from shinkei_gateway.taking import Taker
from shinkei_gateway.telemetry import AnswerNotWritten, AnswerWritten, SourceCrashed

LOOK_S = 0.25
KEPT_S = 30.0
"""A connection that has nothing to write is asked for its life this often: servers close silent sessions."""
_COMPLETES_LATER = 0x002E_0000
"""GoodCompletesAsynchronously: the server has taken the value, the machine not yet."""
_BUILT_IN = range(1, 13)


class SecuresUser(Protocol):
    """What makes connections of one user secure (`security.Security`)."""

    @property
    def secure(self) -> Secure: ...
    def explain(self, error: NotConnected) -> NotConnected: ...
    def succeeded(self) -> None: ...
    def is_changed(self) -> bool: ...


class Answering:
    """Of the source ``name``. ``resume``: its resume state now, which has `state`; ``now``: what the decision needs to know.

    ``as_user``: what secures connections as the user of the answers. ``stored``: `state` of the last process.
    """

    def __init__(self, name: str, settings: OpcuaSource, taker: Taker, stored: dict[str, Any] | None, *, now: Callable[[], Now],
                 resume: Callable[[], dict[str, Any]], as_user: Callable[[OpcuaUser], SecuresUser]) -> None:  # fmt: skip
        self._name, self._settings, self._taker = name, settings, taker
        self._now, self._resume, self._as_user = now, resume, as_user
        self._open = Open(settings.answers, stored)
        self._undurable: set[str] = set()
        self._security: SecuresUser | None = None
        self._session: Session | None = None
        self._wake = asyncio.Event()
        self._not_before, self._error = 0.0, ""
        self._under_way: Due | None = None
        self._is_out = False
        self._broken: Ended | None = None
        self._told: Counter[str] = Counter()

    def add(self, due: list[Due]) -> list[Due]:
        """Answers that finished cycles call for, before the batch with their operations is made. Give what comes back to `given`."""
        return self._open.add(due)

    def given(self, due: list[Due], durable: asyncio.Future[None]) -> None:
        """The batch is on its way: nothing is written before ``durable``."""
        if due:
            self._undurable |= {one.operation_id for one in due}
            durable.add_done_callback(lambda done: self._durable(due, done))

    def _durable(self, due: list[Due], done: asyncio.Future[None]) -> None:
        if not done.cancelled() and done.exception() is None:
            self._undurable -= {one.operation_id for one in due}
            self._wake.set()

    def state(self) -> dict[str, Any]:
        """For the source's resume state."""
        return self._open.state()

    def health(self) -> dict[str, Any]:
        """For /health: answers that wait, what became of those that ended, why the connection is not there."""
        if self._settings.answers is None:
            return {}
        return {"answers": {"waiting": len(self._open), "told": dict(self._told), "error": self._error}}

    # ---- a task ----------------------------------------------------------------------------------------------------------
    async def run(self, lost: asyncio.Future[str]) -> None:
        """As long as the source is connected. ``lost``: done when it is not any more. After a surprise it goes on with the next answer."""
        try:
            while True:
                try:
                    await self._step()
                except Exception as error:  # noqa: BLE001  outermost of its task: values go on beside it, and so do other answers
                    await self._surprised(f"{type(error).__name__}: {error}")
        finally:
            await self._close(keep=lost.done())

    async def _surprised(self, error: str) -> None:
        """The answer under way is ended in the next `_step`: trying it again would only bring the same, and hold up those behind it."""
        emit(SourceCrashed(self._name, f"answers: {error}"))
        self._error = error
        if self._under_way is not None:
            self._broken = Ended(self._under_way, "unproven" if self._is_out else "failed", error)
        self._under_way = None
        await self._close(keep=True)
        await asyncio.sleep(float(self._settings.retry))

    async def _step(self) -> None:
        """One thing."""
        if self._broken is not None:
            broken, self._broken = self._broken, None
            await self._end(broken)
        for ended in self._open.hopeless(self._now()):
            await self._end(ended)
        session = self._session
        if session is not None and session.lost.done():
            await self._close(keep=True)
            return
        due = self._open.first(lambda operation: operation not in self._undurable)
        if due is None:
            await self._rest()
        elif session is not None:
            await self._answer(session, due)
        elif not await self._connect():
            await asyncio.sleep(LOOK_S)

    async def _rest(self) -> None:
        """Until there may be something to do."""
        self._wake.clear()
        try:
            async with asyncio.timeout(LOOK_S if len(self._open) else KEPT_S):
                await self._wake.wait()
        except TimeoutError:
            session = self._session
            if session is not None and not len(self._open) and not await session.is_alive():
                session.fail("no answer")

    async def _connect(self) -> bool:
        settings, answers = self._settings, self._settings.answers
        if answers is None:
            return False
        try:
            security = self._security = self._security or self._as_user(answers.user)
            if time.monotonic() < self._not_before and not security.is_changed():
                return False
            name = f"shinkei gateway {self._name} answers"
            self._session = Session(settings.url, name, settings.timeout, security.secure, 2 * KEPT_S)
            await self._session.connect()
        except (NotConnected, BadConfig) as error:
            await self._close(keep=True)
            why: Exception = error
            if isinstance(error, NotConnected) and self._security is not None:
                why = self._security.explain(error)
            pause = why.seconds if isinstance(why, RetryAfter) else float(settings.retry)
            self._not_before, self._error = time.monotonic() + pause, str(why)
            return False
        security.succeeded()
        self._error = ""
        return True

    async def _close(self, *, keep: bool) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close(keep=keep)

    async def _answer(self, session: Session, due: Due) -> None:
        self._under_way, self._is_out = due, False
        try:
            node = session.resolve(due.node)
            value = await _variant(session, node, due)
        except (KeyError, BadInput) as error:
            why = "the server has no such namespace" if isinstance(error, KeyError) else str(error)
            await self._end(Ended(due, "failed", why))
            return
        except NotConnected as error:  # nothing was written: another connection may
            session.fail(str(error))
            self._not_before, self._error = time.monotonic() + float(self._settings.retry), str(error)
            return
        self._open.begin(due)
        await self._taker.put(Batch(self._name, [], self._resume()))
        # The disk may have taken its time; until here nothing has left.
        ended = self._open.judge(due, self._now())
        if ended is None:
            self._is_out = True
            ended = await _write(session, node, value, due)
        await self._end(ended)

    async def _end(self, ended: Ended) -> None:
        due, answers = ended.due, self._settings.answers
        detail = ended.detail
        if ended.outcome == "late" and self._error:
            detail = f"{detail}; no connection: {self._error}"
        user = answers.user.name or answers.user.certificate or "" if answers is not None else ""
        fields = {
            "source": self._name, "handshake": due.handshake, "operation_id": due.operation_id, "node": due.node, "value": due.value,
            "user": user, "outcome": ended.outcome, "detail": detail[:500],
        }  # fmt: skip
        time_ = self._now().clock
        self._open.end(due)
        self._under_way = None
        self._told[ended.outcome] += 1
        draft = Draft(self._settings.machine, time_, time_, NodeWrite, fields)
        if ended.outcome == "written":
            emit(AnswerWritten(self._name, due.handshake, due.node, str(due.value)))
        else:
            emit(AnswerNotWritten(self._name, due.handshake, due.node, str(due.value), ended.outcome, detail))
        await self._taker.put(Batch(self._name, [draft], self._resume()), own=1)


async def _variant(session: Session, node: ua.NodeId, due: Due) -> ua.Variant:
    """The value in the node's own type: a server takes no other (Part 4 §5.10.4). Raises `BadInput`, `NotConnected`."""
    told, type_ = await session.read_each([(node, AttributeIds.Value), (node, AttributeIds.DataType)])
    if type_.StatusCode is not None and type_.StatusCode.value >= BAD:
        raise BadInput(f"the server refuses to tell the node's type: {type_.StatusCode.name}")
    named = type_.Value.Value if type_.Value is not None else None
    if isinstance(named, ua.NodeId) and named.NamespaceIndex == 0 and named.Identifier in _BUILT_IN:
        number = int(named.Identifier)
    elif told.Value is not None and int(told.Value.VariantType) in _BUILT_IN:
        number = int(told.Value.VariantType)  # a type derived from a built-in one: its values show which
    else:
        raise BadInput(f"the node's type {named} is none that an answer can have")
    return ua.Variant(fitting(due.value, number), ua.VariantType(number))


async def _write(session: Session, node: ua.NodeId, value: ua.Variant, due: Due) -> Ended:
    try:
        status = await session.write(node, value)
    except NotConnected as error:
        session.fail(str(error))
        return Ended(due, "unproven", str(error))
    name = str(ua.StatusCode(ua.UInt32(status)).name)
    if status & 0xFFFF_0000 == _COMPLETES_LATER:
        return Ended(due, "unproven", name)
    return Ended(due, "failed", name) if status >= BAD else Ended(due, "written")
