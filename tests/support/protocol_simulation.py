"""The protocol under a hostile scheduler: spool, forwarder, recorder and consumer against a log that drops, repeats, delays, restarts
empty, and against crashes at every step. All real pure parts, no threads, no clocks: one seed is one schedule, for ever.

`run(seed)` raises AssertionError with the seed in its text when an invariant breaks.
"""

from __future__ import annotations

import copy
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

from shinkei_events.errors import Full
from shinkei_events.frames import readings
from shinkei_events.identity import StreamId, new_epoch
from shinkei_events.model.frame import Frame
from shinkei_events.model.machine import MachineStateChanged
from shinkei_events.model.numbered import Gap
from shinkei_events.model.progress import Recorded
from shinkei_events.topics import partition_of
from shinkei_gateway.forward import Forwarder
from shinkei_gateway.intake import Batch, Draft, Intake, Reading
from shinkei_gateway.spool.segment import Entry
from shinkei_gateway.spool.spool import open_spool
from shinkei_store.follower import Follower, Item
from shinkei_store.recorder import Accepted, Ask, Recorder

MACHINES = ("M1", "M2", "M3")
PARTITIONS = 2
T0 = 1_700_000_000_000_000_000


class SimDisk:
    """Keeps what was synced; of the rest, a crash leaves a random prefix."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.files: dict[str, bytearray] = {}
        self.synced: dict[str, int] = {}
        self.full = False

    def names(self) -> list[str]:
        return sorted(self.files)

    def size(self, name: str) -> int:
        return len(self.files[name])

    def read(self, name: str, offset: int, length: int) -> bytes:
        return bytes(self.files[name][offset : offset + length])

    def append(self, name: str, data: bytes) -> None:
        part = data[: self.rng.randrange(len(data))] if self.full else data
        self.files.setdefault(name, bytearray()).extend(part)
        self.synced.setdefault(name, 0)
        if self.full:
            raise OSError(28, "No space left on device")

    def sync(self, name: str) -> None:
        if self.full:
            raise OSError(28, "No space left on device")
        self.synced[name] = len(self.files[name])

    def truncate(self, name: str, size: int) -> None:
        del self.files[name][size:]
        self.synced[name] = min(self.synced[name], size)

    def delete(self, name: str) -> None:
        self.files.pop(name, None)
        self.synced.pop(name, None)

    def crash(self) -> None:
        self.full = False
        for name in list(self.files):
            keep = self.rng.randint(self.synced[name], len(self.files[name]))
            if keep == 0:
                self.delete(name)
            else:
                del self.files[name][keep:]
                self.synced[name] = keep


class SimCommit:
    """`GroupCommit` without its thread: the scheduler says when."""

    def __init__(self, spool: Any) -> None:
        self.spool = spool
        self.jobs: list[Any] = []

    def submit(self, entries: list[Entry], payloads: list[bytes], resume: dict[str, Any]) -> Future[None]:
        future: Future[None] = Future()
        self.jobs.append((entries, payloads, resume, future))
        return future

    def has_room(self) -> bool:
        return len(self.jobs) < 8

    def commit(self) -> bool:
        if not self.jobs:
            return False
        resume: dict[str, Any] = {}
        for job in self.jobs:
            resume |= job[2]
        try:
            self.spool.write([e for j in self.jobs for e in j[0]], [p for j in self.jobs for p in j[1]], resume)
        except Full:
            return False
        self.spool.sync()
        jobs, self.jobs = self.jobs, []
        for job in jobs:
            job[3].set_result(None)
        return True


class World:
    def __init__(self, seed: int) -> None:
        self.seed, self.rng = seed, random.Random(seed)
        self.now = 0
        self.disk = SimDisk(self.rng)
        self.log: list[list[tuple[str, str, Any]]] = [[] for _ in range(PARTITIONS)]
        self.log_id = 0
        self.progress: dict[int, list[Recorded]] = {}
        self.mail: list[tuple[str, Any]] = []  # commands on their way to the gateway
        self.db: dict[str, Any] = {"log": 0, "position": [0] * PARTITIONS, "next": {}, "rows": defaultdict(list), "gaps": [],
                                   "consumer": {"next": {}, "used": defaultdict(list)}}  # fmt: skip
        self.backup: dict[str, Any] | None = None
        self.restores = 0
        self.acked: dict[str, int] = dict.fromkeys(MACHINES, 0)  # highest counter acknowledged upstream
        self.flips = 0
        self.start_gateway()
        self.start_recorder()
        self.start_consumer()

    # ---- gateway -----------------------------------------------------------------------------------------------------
    def start_gateway(self) -> None:
        self.spool, _ = open_spool(self.disk, lambda: new_epoch(self.now, self.rng.getrandbits(74)), segment_bytes=1500)
        self.commit = SimCommit(self.spool)
        self.intake = Intake(self.spool, self.commit, "gw", "0", lambda: T0 + self.now)  # type: ignore[arg-type]
        self.forwarder = Forwarder(
            self.spool, credit=4000, max_in_flight=12, flight_bytes=3000, partitions=PARTITIONS, frame_age=3
        )
        self.forwarder.on_log(str(self.log_id))
        self.gateway_log = self.log_id
        self.tickets: list[tuple[int, int]] = []
        self.futures: list[tuple[str, int, Future[None]]] = []
        self.sent_up_to = {m: self.intake.resume(m) or 0 for m in MACHINES}
        self.read_progress()
        self.forwarder.skip_done()

    def crash_gateway(self) -> None:
        self.disk.crash()
        self.start_gateway()

    def offer(self) -> None:
        if not self.intake.has_room():
            return
        machine = self.rng.choice(MACHINES)
        at = self.sent_up_to[machine]
        count = self.rng.randint(1, 5)
        time = T0 + self.now
        items: list[Any] = [Reading(machine, self.rng.choice("ab"), time, at + k, 0, time) for k in range(1, count + 1)]
        if self.rng.random() < 0.3:
            items.insert(
                0, Draft(machine, time, time, MachineStateChanged, {"state": self.rng.choice(["EXECUTE", "IDLE"])})
            )
        future = self.intake.put(Batch(machine, items, at + count))
        self.sent_up_to[machine] = at + count
        self.futures.append((machine, at + count, future))

    def do_commit(self) -> None:
        self.commit.commit()
        for machine, counter, future in list(self.futures):
            if future.done():
                self.acked[machine] = max(self.acked[machine], counter)
                self.futures.remove((machine, counter, future))

    def forward(self) -> None:
        if self.gateway_log != self.log_id:
            self.gateway_log = self.log_id
            self.tickets.clear()
            self.forwarder.on_log(str(self.log_id))
        for send in self.forwarder.poll(self.now, self.rng.randint(1, 6)):
            self.produce(send)
        for missing in self.forwarder.missing:
            mark = missing.mark
            fields = {"id": mark.id, "of": missing.stream, "cause": mark.cause, "begin": mark.begin, "end": mark.end}
            self.intake.put(
                Batch("forward", [Draft(missing.stream.machine, T0 + self.now, T0 + self.now, Gap, fields)])
            )
        self.forwarder.missing.clear()

    def produce(self, send: Any) -> None:
        chance = self.rng.random()
        if chance < 0.08 and not self.calm:
            self.forwarder.failed(send.ticket)
            return
        partition = self.log[partition_of(send.stream.machine, PARTITIONS)]
        kind = "frame" if isinstance(send.event, Frame) else "event"
        partition.append((kind, "gateway/gw/0", send.event))
        if chance < 0.16 and not self.calm:
            partition.append((kind, "gateway/gw/0", send.event))
        self.tickets.append((send.ticket, len(partition) - 1))

    def acknowledge(self) -> None:
        while self.tickets and (self.calm or self.rng.random() < 0.8):
            self.forwarder.delivered(*self.tickets.pop(0))

    def read_progress(self) -> None:
        for partition, reports in self.progress.items():
            position = self.db["position"][partition] if self.db["log"] == self.gateway_log else -1
            for stream in self.forwarder.on_progress(partition, reports, position=position):
                raise AssertionError(f"seed {self.seed}: {stream} is recorded beyond what its spool ever gave")

    def read_mail(self) -> None:
        mail, self.mail = self.mail, []
        for kind, what in mail:
            if kind == "ask":
                self.forwarder.on_send_again(what.stream, what.number)

    def trim(self) -> None:
        if self.forwarder.trim() and self.restores == 0:
            for stream, (_, _, recorded) in self.forwarder.state().items():
                assert self.spool.oldest(stream) <= self.db["next"].get(stream, 1), (
                    f"seed {self.seed}: trimmed ahead of the record"
                )
                assert recorded <= self.db["next"].get(stream, 1), f"seed {self.seed}: progress ahead of the database"

    # ---- recorder ----------------------------------------------------------------------------------------------------
    def start_recorder(self) -> None:
        if self.db["log"] != self.log_id:
            self.db["log"], self.db["position"] = self.log_id, [0] * PARTITIONS
        self.recorder = Recorder(self.db["next"])
        self.recorder_log = self.log_id
        reported = [r for reports in self.progress.values() for r in reports]
        sources = {str(r.stream): "gateway/gw/0" for r in reported}
        self.mail += [("ask", ask) for ask in self.recorder.restored(reported, sources, self.now)]
        self.report()

    def record(self) -> None:
        if self.recorder_log != self.log_id:
            self.start_recorder()
        db = self.db
        partition = self.rng.randrange(PARTITIONS)
        begin = db["position"][partition]
        records = self.log[partition][begin : begin + self.rng.randint(1, 8)]
        accepted: list[Accepted] = []
        for kind, source, event in records:
            got = self.recorder.offer(kind, source, event, self.now * 300_000_000)
            if isinstance(got, Ask):
                if self.calm or self.rng.random() < 0.7:
                    self.mail.append(("ask", got))
            elif got is not None:
                accepted.append(got)
        if not self.calm and self.rng.random() < 0.1:  # killed before the commit
            self.start_recorder()
            return
        for item in accepted:
            if item.gap is not None:
                db["gaps"].append((str(item.stream), item.gap.begin, item.gap.end))
            db["rows"][str(item.stream)].append((item.type, item.event, item.gap))
        db["next"] = self.recorder.watermarks()
        db["position"][partition] = begin + len(records)
        if self.calm or self.rng.random() < 0.8:  # or killed before the report
            self.report()
        else:
            self.start_recorder()

    def report(self) -> None:
        by: dict[int, list[Recorded]] = {partition: [] for partition in range(PARTITIONS)}
        for name, number in self.db["next"].items():
            stream = StreamId.parse(name)
            by[partition_of(stream.machine, PARTITIONS)].append(Recorded(stream, number))
        self.progress = by

    # ---- consumer ----------------------------------------------------------------------------------------------------
    def start_consumer(self) -> None:
        self.follower = Follower(self.db["consumer"]["next"], buffer=4)
        self.follower.sweep(self.db["next"])
        self.consumer_log, self.consumer_position = (
            self.log_id,
            [len(p) if self.rng.random() < 0.5 else 0 for p in self.log],
        )
        self.uses: list[Any] = []

    def consume(self) -> None:
        if self.consumer_log != self.log_id:
            self.start_consumer()
        if self.rng.random() < 0.2:
            self.follower.sweep(self.db["next"])
        partition = self.rng.randrange(PARTITIONS)
        begin = self.consumer_position[partition]
        records = self.log[partition][begin : begin + 5]
        self.consumer_position[partition] = begin + len(records)
        for kind, _, event in records:
            self.uses += self.follower.live(item_of(kind, event, event.gap_before))
        for name, number in self.follower.behind().items():
            rows = [r for r in self.db["rows"][name] if end_of(r[1]) > number]
            some = rows[: self.rng.randint(1, 4)]
            items = [item_of(kind, event, gap) for kind, event, gap in some]
            self.uses += self.follower.recorded(name, items, end=len(some) == len(rows))
        if not self.calm and self.rng.random() < 0.15:
            self.start_consumer()
            return
        for use in self.uses:
            self.db["consumer"]["used"][str(use.item.stream)].append((use.item.event, use.skip))
        self.uses = []
        self.db["consumer"]["next"] = self.follower.watermarks()

    # ---- faults ------------------------------------------------------------------------------------------------------
    def restart_log(self) -> None:
        self.log_id += 1
        self.log = [[] for _ in range(PARTITIONS)]
        self.progress = {}

    def do_backup(self) -> None:
        self.backup = copy.deepcopy(self.db)

    def restore(self) -> None:
        if self.backup is not None:
            self.db, self.backup = self.backup, None
            self.restores += 1
            self.start_recorder()
            self.start_consumer()

    def disk_full(self) -> None:
        self.disk.full = not self.disk.full

    calm = False


def item_of(kind: str, event: Any, gap: Any) -> Item:
    first, count = (event.first, event.count) if isinstance(event, Frame) else (event.number, 1)
    return Item(event.stream, first, count, gap.begin if gap is not None else None, kind, event)


def end_of(event: Any) -> int:
    return event.end if isinstance(event, Frame) else event.number + 1


STEPS = (("offer", 24), ("do_commit", 14), ("forward", 16), ("acknowledge", 10), ("record", 16), ("consume", 12), ("read_progress", 8), ("read_mail", 8),
         ("trim", 5), ("crash_gateway", 2), ("start_recorder", 2), ("start_consumer", 2), ("restart_log", 1), ("do_backup", 1), ("restore", 1),
         ("disk_full", 1))  # fmt: skip


def run(seed: int, steps: int = 120) -> dict[str, int]:
    """One schedule, then calm until everything has arrived, then the invariants. Returns what happened, for statistics."""
    world = World(seed)
    names, weights = zip(*STEPS, strict=True)
    for name in world.rng.choices(names, weights, k=steps):
        world.now += 1
        getattr(world, name)()
    settle(world)
    check(world)
    return {
        "restores": world.restores,
        "gaps": len(world.db["gaps"]),
        "logs": world.log_id,
        "repeats": world.recorder.repeats,
    }


def settle(world: World) -> None:
    world.calm, world.disk.full = True, False
    for _ in range(600):
        world.now += 4
        for name in (
            "do_commit",
            "forward",
            "acknowledge",
            "record",
            "record",
            "read_mail",
            "read_progress",
            "consume",
        ):
            getattr(world, name)()
        ends = world.spool.streams()
        if (
            all(world.db["next"].get(name, 1) == end for name, end in ends.items())
            and not world.commit.jobs
            and world.follower.watermarks() == world.db["next"]
        ):
            return
    raise AssertionError(
        f"seed {world.seed}: not everything arrived: {world.forwarder.state()}, {world.db['next']}, {world.follower.watermarks()}"
    )


def check(world: World) -> None:
    seed, db = world.seed, world.db
    for name, rows in db["rows"].items():
        expected = 1
        for _, event, gap in rows:
            first = event.first if isinstance(event, Frame) else event.number
            if first != expected:
                told = None if gap is None else (gap.begin, gap.end)
                assert told == (expected, first), f"seed {seed}: {name} jumps from {expected} to {first}, gap {told}"
            expected = end_of(event)
            if isinstance(event, Frame):
                for number, _, _, value, _, _ in readings(event):
                    assert value == number, f"seed {seed}: {name} number {number} is value {value}"
        assert expected == db["next"][name], f"seed {seed}: {name} ends at {expected}, watermark {db['next'][name]}"
        flat = [(n, v) for event, skip in db["consumer"]["used"][name] for n, v in values(event, skip)]
        wanted = [(n, v) for _, event, _ in rows for n, v in values(event, 0)]
        if world.restores:  # what it saw live may since have been lost together with the log and the newer database
            numbers = [number for number, _ in flat]
            assert numbers == sorted(set(numbers)), f"seed {seed}: the consumer saw {name} out of order"
            assert set(wanted) <= set(flat), f"seed {seed}: the consumer missed something of {name}"
        else:
            assert flat == wanted, f"seed {seed}: the consumer saw something else in {name}"
    for machine, counter in world.acked.items():
        name = str(world.intake.stream(machine, "signals"))
        assert db["next"].get(name, 1) > counter, (
            f"seed {seed}: {machine} was acknowledged up to {counter}, recorded to {db['next'].get(name)}"
        )
    if world.restores == 0:
        assert not db["gaps"], f"seed {seed}: gap records without a loss: {db['gaps']}"


def values(event: Any, skip: int) -> list[tuple[int, Any]]:
    if isinstance(event, Frame):
        return [(number, value) for number, _, _, value, _, _ in readings(event)][skip:]
    return [(event.number, type(event).__name__)]


def run_many(first: int, schedules: int) -> Counter[str]:
    """Schedules ``first … first + schedules - 1``; AssertionError names the seed and how to replay it."""
    return run_each(run, __name__, first, schedules)


def run_each(run: Callable[[int], Mapping[str, int]], module: str, first: int, schedules: int) -> Counter[str]:
    """``run`` of ``module`` with each seed; what happened, added up."""
    seen: Counter[str] = Counter()
    for seed in range(first, first + schedules):
        try:
            seen.update(run(seed))
        except Exception as error:
            replay = f"python -c 'from {module} import run; run({seed})'"
            raise AssertionError(f"seed {seed}: {type(error).__name__}: {error}\nreplay: {replay}") from error
    return seen
