"""Where readings and events of all sources get their numbers, on their way into the spool.

Within one batch everything of a machine is ordered by source time before it is numbered; frames end where the context changes or
an event stands between. A put is durable when its future is done: only then may a source acknowledge upstream. Not thread-safe: one
event loop calls it. Knows no protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import msgspec

from shinkei_events.codec import check, encode
from shinkei_events.errors import BadInput
from shinkei_events.frames import MAX_BYTES, MAX_VALUES
from shinkei_events.identity import FIRST_NUMBER, KINDS, Kind, StreamId, gap_id
from shinkei_events.model.frame import Context, Frame, GapMark, Origin
from shinkei_events.model.numbered import ClockSkew, Gap, Numbered, StreamClosed, StreamStarted
from shinkei_events.model.quarantine import Quarantined
from shinkei_gateway.clock_watch import Skews
from shinkei_gateway.columns import columns, context_after, in_order
from shinkei_gateway.last_values import LastValues
from shinkei_gateway.offered import Batch, Draft, Reading, ReadingColumns, by_machine, drafts_of, gap
from shinkei_gateway.ownership import OWNERSHIP, Ownership
from shinkei_gateway.source_time import LATEST_NS
from shinkei_gateway.spool.commit import GroupCommit
from shinkei_gateway.spool.opening import ENDING
from shinkei_gateway.spool.spool import Spool
from shinkei_gateway.stream_start import Before, before_in, opening_events
from shinkei_gateway.written import Written, event_of, refusal

__all__ = ["Batch", "Draft", "Intake", "Reading", "gap"]

QUIET_NS = 10**9
ALIVE_NS = 5 * 10**9
_CONTEXTS = "@context"
_SKEWS = "@skew"


@dataclass(slots=True)
class _Machine:
    context: Context
    mark: GapMark | None = None
    history_mark: GapMark | None = None
    last_put: int = 0
    alive_until: int = 0
    alive_at: int = 0


class Intake:
    """The one writer of a shard's streams. ``clock`` gives ns UTC."""

    def __init__(
        self,
        spool: Spool,
        commit: GroupCommit,
        gateway: str,
        shard: str,
        clock: Callable[[], int],
        ownership: Ownership | None = None,
    ) -> None:
        self._spool, self._commit = spool, commit
        self._gateway, self._shard, self._clock = gateway, shard, clock
        self.ownership = ownership or Ownership(gateway, shard, spool.epoch, "", spool.resume(OWNERSHIP))
        self._epoch = spool.epoch
        self._held: list[tuple[Batch, Future[None]]] | None = None
        self._next: dict[StreamId, int] = {}
        self._machines: dict[str, _Machine] = {}
        self._contexts: dict[str, Any] = dict(spool.resume(_CONTEXTS) or {})
        self._skews = Skews(spool.resume(_SKEWS))
        self.last_values = LastValues()

    def resume(self, source: str) -> Any:
        """The last durable resume state of ``source``, or None."""
        return self._spool.resume(source)

    def skew(self, source: str, machine: str) -> int | None:
        """By how many ns the clock of ``machine`` behind ``source`` was last told to be off; None: within its limit."""
        return self._skews.of(source, machine)

    def has_room(self) -> bool:
        """False while sources must not take more (disk full, or too much waits to be written)."""
        return self._held is None and self._commit.has_room()

    def stream(self, machine: str, kind: Kind) -> StreamId:
        """The stream written now."""
        return StreamId(self._epoch, machine, kind)

    def next_number(self, stream: StreamId) -> int:
        """The number that comes next in ``stream`` (durable or not)."""
        return self._number(stream)

    def alive(self, machine: str, until: int) -> None:
        """The source says that it has told everything up to source time ``until`` (a keep-alive); earlier than before: its clock was set back."""
        state, now = self._machine(machine), self._clock()
        state.alive_until, state.alive_at = until if until <= now + LATEST_NS else now, now

    def put(self, batch: Batch) -> Future[None]:
        """Number and write ``batch``; done when durable. An item that breaks the language goes to quarantine, its neighbours go on."""
        if self._held is not None:
            future: Future[None] = Future()
            self._held.append((batch, future))
            return future
        return self._put(batch)

    def _put(self, batch: Batch) -> Future[None]:
        out = Written()
        for draft in drafts_of(batch.items):
            if draft.type is ClockSkew:
                out.skews_changed |= self._skews.take(draft.machine, draft.fields)
        for machine, items in by_machine(batch.items).items():
            self._started(machine, out)
            self._take(machine, items if batch.history else in_order(items), batch, out)
        resume = {} if batch.resume is None else {batch.source: batch.resume}
        if out.context_changed:
            resume[_CONTEXTS] = dict(self._contexts)
        if out.skews_changed:
            resume[_SKEWS] = self._skews.state()
        if out.ownership_changed:
            resume[OWNERSHIP] = self.ownership.state()
        return self._commit.submit(out.entries, out.payloads, resume)

    # ---- epochs ------------------------------------------------------------------------------------------------------
    def hold(self) -> None:
        """Number nothing for now: what is put waits for `release`."""
        self._held = [] if self._held is None else self._held

    def release(self) -> None:
        """Number again, what has waited first."""
        held, self._held = self._held or [], None
        for batch, future in held:
            _chain(self._put(batch), future)

    def begin(self, epoch: str) -> None:
        """Numbers are given in ``epoch`` from now on; call it when the spool has begun it."""
        self._epoch = epoch
        self.ownership.begin(epoch)

    def tell_ending(self) -> Future[None] | None:
        """Open the streams that follow an epoch of this spool that ended, each with what may be missing at its end; None: there is none."""
        ending = self._spool.resume(ENDING)
        if ending is None:
            return None
        out = Written()
        for machine in sorted({StreamId.parse(name).machine for name in ending["next"]}):
            self._open(machine, before_in(ending, machine), out)
        return self._commit.submit(out.entries, out.payloads, {ENDING: None})

    def follow(self, machine: str, *, patient: bool) -> bool:
        """Tell what ``machine``'s streams follow, when it became known only after they began; whether there was something to tell."""
        before = self.ownership.before(machine, patient=patient)
        if before is None or self._held is not None:
            return False
        out = Written()
        self._open(machine, before, out)
        self._commit.submit(out.entries, out.payloads, {OWNERSHIP: self.ownership.state()})
        return True

    def machines(self) -> list[str]:
        """Machines of which streams are written now; not those that moved on."""
        written = {stream.machine for stream in self._next if stream.epoch == self._epoch}
        return sorted(m for m in written if str(self.stream(m, "production")) not in self.ownership.closed)

    def again(self, events: list[Frame | Numbered], resume: dict[str, Any]) -> Future[None]:
        """What has numbers of an epoch that ended gets the next ones of this epoch; its times, context and origin stay."""
        out = Written()
        for event in events:
            if isinstance(event, StreamStarted):
                continue  # the stream that follows has one of its own
            self._started(event.stream.machine, out)
            stream = self.stream(event.stream.machine, event.stream.kind)
            other: Kind = "production" if isinstance(event, Frame) else "signals"
            sibling = 0 if stream.kind == "history" else self._number(stream.sibling(other)) - 1
            self._next[stream] = out.add_again(event, stream, self._number(stream), sibling)
        return self._commit.submit(out.entries, out.payloads, resume)

    def quiet_frames(self) -> list[Frame]:
        """Empty frames of the signals streams that were quiet for a second while their source is alive. Not numbered, not spooled."""
        now, frames = self._clock(), []
        for name, state in self._machines.items():
            if now - state.last_put < QUIET_NS or now - state.alive_at > ALIVE_NS:
                continue
            state.last_put = now
            stream = self.stream(name, "signals")
            frames.append(
                Frame(stream, self._number(stream), state.alive_until, state.context, [], [], [], [], [], [],
                      self._number(stream.sibling("production")) - 1, complete_until=state.alive_until)
            )  # fmt: skip
        return frames

    # ---- inside ------------------------------------------------------------------------------------------------------
    def _machine(self, name: str) -> _Machine:
        state = self._machines.get(name)
        if state is None:
            known = self._contexts.get(name)
            state = self._machines[name] = _Machine(msgspec.convert(known, Context) if known else Context())
        return state

    def _number(self, stream: StreamId) -> int:
        number = self._next.get(stream)
        if number is None:
            number = self._next[stream] = self._spool.next_number(str(stream))
        return number

    def _started(self, machine: str, out: Written) -> None:
        """The first event of a production stream says who writes it and what it follows; also when the machine comes back."""
        production = str(self.stream(machine, "production"))
        if production in self.ownership.closed:
            for kind in KINDS:
                self.ownership.closed.pop(str(self.stream(machine, kind)), None)
            out.ownership_changed = True
        elif self._number(self.stream(machine, "production")) != FIRST_NUMBER:
            return
        self._open(machine, self.ownership.before(machine), out)

    def _open(self, machine: str, before: Before | None, out: Written) -> None:
        for draft in opening_events(machine, self._gateway, self._shard, self._clock(), before):
            self._event(draft, "production", out)
        if before is not None:
            self.ownership.followed(machine, before)
            out.ownership_changed = True

    def _take(self, machine: str, items: Sequence[Reading | Draft], batch: Batch, out: Written) -> None:
        state = self._machine(machine)
        state.last_put = self._clock()
        if isinstance(items, ReadingColumns):
            self._frames(machine, items, batch, out)
            return
        for kind, group in groupby(items, type):
            run: list[Any] = list(group)
            if kind is Reading:
                self._frames(machine, run, batch, out)
            else:
                for draft in run:
                    self._draft(draft, state, batch, out)

    def _frames(self, machine: str, run: Sequence[Reading], batch: Batch, out: Written) -> None:
        for at in range(0, len(run), MAX_VALUES):
            self._frame(machine, run[at : at + MAX_VALUES], batch, out)

    def _draft(self, item: Draft, state: _Machine, batch: Batch, out: Written) -> None:
        if item.type is Gap and "id" not in item.fields:
            item = self._time_gap(item, state, batch.history)
        if batch.replay_of is not None:
            item = item._replace(fields=item.fields | {"replay_of": batch.replay_of})
        is_now = not batch.history and batch.replay_of is None
        if not self._event(item, self._kind(item, batch.history), out):
            return
        if item.type is StreamClosed:
            for kind in KINDS:
                stream = self.stream(item.machine, kind)
                if self._number(stream) > FIRST_NUMBER:
                    self.ownership.closed[str(stream)] = self._number(stream)
            out.ownership_changed = True
        if is_now:
            changed = context_after(state.context, item)
            if changed != state.context:
                state.context = changed
                self._contexts[item.machine] = msgspec.to_builtins(changed)
                out.context_changed = True

    @staticmethod
    def _kind(item: Draft, history: bool) -> Kind:
        if item.type is Quarantined:
            return "quarantine"
        return "history" if history else "production"

    def _time_gap(self, item: Draft, state: _Machine, history: bool) -> Draft:
        fields = dict(item.fields)
        of = self.stream(item.machine, "history" if history else fields["of"])
        fields |= {"of": of, "id": gap_id(of, fields["t_from"], fields["t_to"], fields["cause"], fields["channels"])}
        mark = GapMark(fields["id"], fields["cause"])
        if history:
            state.history_mark = mark
        else:
            state.mark = mark
        return item._replace(fields=fields)

    def _event(self, item: Draft, kind: Kind, out: Written) -> bool:
        stream = self.stream(item.machine, kind)
        number = self._number(stream)
        signals = 0 if kind == "history" else self._number(stream.sibling("signals")) - 1
        try:
            ce_type, payload = event_of(item, stream, number, signals)
        except BadInput as error:
            self._refuse(item, str(error), out)
            return False
        self._next[stream] = number + 1
        out.add(stream, number, 1, ce_type, payload)
        return True

    def _refuse(self, item: Reading | Draft, reason: str, out: Written) -> None:
        """Quarantine what breaks the language."""
        record = refusal(item, reason, f"{self._gateway}/{self._shard}", self._clock())
        self._event(record, "quarantine", out)

    def _filled(self, machine: str, batch: Batch) -> str | None:
        """The id of the gap that a batch of history fills."""
        if batch.fills is None:
            return None
        gap = batch.fills
        return gap_id(self.stream(machine, "signals"), gap.t_from, gap.t_to, gap.cause, gap.channels)

    def _frame(self, machine: str, run: Sequence[Reading], batch: Batch, out: Written) -> None:
        stream = self.stream(machine, "history" if batch.history else "signals")
        state = self._machine(machine)
        first = self._number(stream)
        is_replay = batch.replay_of is not None
        mark = None if is_replay else state.history_mark if batch.history else state.mark
        frame = columns(
            stream, first, run, Context() if batch.history or is_replay else state.context, not batch.history
        )
        production = 0 if batch.history else self._number(stream.sibling("production")) - 1
        skew = None if batch.history or is_replay else self._skews.of(batch.source, machine)
        is_plain = skew is None and not is_replay and not batch.maybe_again and batch.fills is None
        origin = None if is_plain else Origin(skew, batch.replay_of, batch.maybe_again, self._filled(machine, batch))
        frame = msgspec.structs.replace(frame, production=production, gap_before=mark, origin=origin)
        try:
            check(frame)
            payload = encode(frame)
            if len(run) == 1 and len(payload) > 2 * MAX_BYTES:
                raise BadInput(f"a value of {len(payload)} bytes; no record is bigger than {2 * MAX_BYTES}")
        except (BadInput, TypeError, msgspec.MsgspecError, OverflowError) as error:
            if len(run) == 1:
                self._refuse(run[0], str(error), out)
                return
            for reading in run:
                self._frame(machine, [reading], batch, out)
            return
        if len(payload) > MAX_BYTES and len(run) > 1:
            half = len(run) // 2
            self._frame(machine, run[:half], batch, out)
            self._frame(machine, run[half:], batch, out)
            return
        if batch.history and not is_replay:
            state.history_mark = None
        elif not is_replay:
            state.mark = None
            self.last_values.take(frame, run)
        self._next[stream] = frame.end
        out.add_frame(frame, payload)


def _chain(done: Future[None], waiting: Future[None]) -> None:
    """``waiting`` is done when ``done`` is."""
    done.add_done_callback(lambda _done: waiting.set_result(None))
