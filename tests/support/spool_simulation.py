"""Spools that are lost, go back in time or are copied, and machines that move, under a hostile scheduler. Beside `protocol_simulation`.

All real pure parts of several gateways on one log, which drops, repeats and starts empty again; every gateway may crash at any step, also
while it changes its epoch. One seed is one schedule. `run(seed)` raises AssertionError with the seed in its text when a rule breaks:

* whatever was acknowledged to a machine is on record once, or a gap record covers its number;
* nothing is on record twice, and no stream jumps without a mark;
* no two gateways that run write one epoch.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any, NamedTuple

from shinkei_events.codec import decode
from shinkei_events.errors import Full
from shinkei_events.frames import readings
from shinkei_events.identity import StreamId, new_epoch
from shinkei_events.model.frame import Frame
from shinkei_events.model.numbered import Gap, StreamClosed
from shinkei_events.model.progress import Claim, Progress, Recorded
from shinkei_events.topics import TOPIC_OF_KIND, partition_of
from shinkei_gateway.epoch_change import EpochChange, Evidence
from shinkei_gateway.forward import Forwarder
from shinkei_gateway.home import HOME, moved
from shinkei_gateway.intake import Batch, Draft, Intake, Reading
from shinkei_gateway.ownership import OWNERSHIP, Ownership
from shinkei_gateway.spool.spool import open_spool
from shinkei_gateway.standing import Standing
from tests.support.protocol_simulation import PARTITIONS, T0, SimCommit, SimDisk, World, end_of, run_each

MACHINES = ("M1", "M2", "M3")
LABELS = {(TOPIC_OF_KIND[kind].name, partition_of(m)) for kind in ("signals", "production") for m in MACHINES}  # type: ignore[index]

AGAIN = 1 << 60
"""In the place of a number that was given before to something else: only a gap without an end covers it."""


class Reports(NamedTuple):
    """What the recorder reported, of all partitions at once."""

    position: list[int]
    by_partition: dict[int, list[Recorded]]


class Commit(SimCommit):
    """With actions of the writing thread; ``world`` hears which number each value has once it is durable."""

    def __init__(self, spool: Any, world: SpoolWorld) -> None:
        super().__init__(spool)
        self.world = world

    def call(self, action: Any) -> Future[None]:
        future: Future[None] = Future()
        self.jobs.append((action, future))
        return future

    def commit(self) -> bool:
        while self.jobs:
            if len(self.jobs[0]) == 2:
                action, future = self.jobs.pop(0)
                try:
                    action()
                except Full as error:
                    future.set_exception(error)
                else:
                    future.set_result(None)
                continue
            run = self.jobs[: next((at for at, job in enumerate(self.jobs) if len(job) == 2), None)]
            resume: dict[str, Any] = {}
            for job in run:
                resume |= job[2]
            entries, payloads = [e for j in run for e in j[0]], [p for j in run for p in j[1]]
            try:
                self.spool.write(entries, payloads, resume)
            except Full:
                return False
            self.spool.sync()
            del self.jobs[: len(run)]
            self.world.durable(entries, payloads)
            for job in run:
                job[3].set_result(None)
        return True


class Site:
    """One gateway on one disk. ``reads``: machine to its viewer: a copy that reads the same machine has a subscription of its own."""

    def __init__(self, world: SpoolWorld, gateway: str, disk: SimDisk, reads: dict[str, int], inode: int) -> None:
        self.world, self.gateway, self.disk, self.reads, self.inode = world, gateway, disk, reads, inode
        self.snapshot: tuple[dict[str, bytearray], str, Any] | None = None
        self.must_hear = (
            False  # what the log has to say about a spool that was lost or went back, and what is to be told of it
        )
        self.start()

    def start(self) -> None:
        """As `Core` does."""
        world = self.world
        self.online, self.is_ready, self.tickets, self.futures = False, False, [], []  # type: ignore[var-annotated]
        self.spool, _ = open_spool(self.disk, lambda: world.epoch(), segment_bytes=1500)
        self.commit = Commit(self.spool, world)
        self.home = {"inode": self.inode, "host": "h", "gateway": self.gateway, "shard": "0"}
        instance = f"{world.rng.getrandbits(48):x}"
        ownership = Ownership(
            self.gateway, "0", self.spool.epoch, instance, self.spool.resume(OWNERSHIP), self.spool.end()
        )
        self.intake = Intake(self.spool, self.commit, self.gateway, "0", lambda: T0 + world.now, ownership)  # type: ignore[arg-type]
        self.forwarder = Forwarder(
            self.spool, credit=4000, max_in_flight=12, flight_bytes=3000, partitions=PARTITIONS, frame_age=3
        )
        self.epochs = EpochChange(self.spool, self.commit, self.intake, self.forwarder, world.epoch)  # type: ignore[arg-type]
        self.standing = Standing(self.spool, self.intake, self.epochs, "h", lambda: float(world.now))
        self.at = {machine: self.resumed(machine) for machine in self.reads}
        self.work: Iterator[None] | None = self.begin()

    def resumed(self, machine: str) -> int:
        known = self.intake.resume(machine) or [None, 0]
        viewer = self.reads[machine]
        return max(known[1] if known[0] == viewer else 0, self.world.acked[machine, viewer])

    def begin(self) -> Iterator[None]:
        yield from self.epochs.open()
        why = moved(self.spool.resume(HOME), self.home)
        while why and not (yield from self.change(Evidence(why, is_copy=True, states={HOME: self.home}))):
            yield
        if self.spool.resume(HOME) != self.home:
            self.commit.submit([], [], {HOME: self.home})
        self.is_ready = True

    def change(self, evidence: Evidence) -> Any:
        self.intake.hold()
        try:
            begun = self.epochs.begin("spool_went_back", evidence)
            while not begun.done():
                yield
            if begun.exception() is not None:
                return False
            yield from self.epochs.steps()
        finally:
            self.intake.release()
        return True

    def do_work(self) -> None:
        if self.work is not None and next(self.work, self) is self:
            self.work = None

    def offer(self) -> None:
        if not self.is_ready or not self.intake.has_room() or not self.reads:
            return
        machine = self.world.rng.choice(sorted(self.reads))
        at, viewer, time = self.at[machine], self.reads[machine], T0 + self.world.now
        count = self.world.rng.randint(1, 5)
        items: list[Any] = [Reading(machine, "c", time, viewer * 10**6 + at + k, 0, time) for k in range(1, count + 1)]
        self.at[machine] = at + count
        future = self.intake.put(Batch(machine, items, [viewer, at + count]))
        self.futures.append((machine, viewer, at + count, future))

    def do_commit(self) -> None:
        self.commit.commit()
        for machine, viewer, counter, future in list(self.futures):
            if future.done():
                self.world.acked[machine, viewer] = max(self.world.acked[machine, viewer], counter)
                self.futures.remove((machine, viewer, counter, future))

    # ---- the log -----------------------------------------------------------------------------------------------------
    def connect(self) -> None:
        """As the link does: all of the progress topic before anything is sent."""
        if not self.is_ready or self.online or self.work is not None:
            return
        self.online, self.log_id, self.heard = True, self.world.log_id, 0
        self.tickets.clear()
        self.forwarder.on_log(str(self.log_id))
        self.standing.on_log()
        self.listen(len(self.world.topic))
        self.forwarder.skip_done()

    def cut(self) -> None:
        if not self.world.calm:
            self.leave()

    def leave(self) -> None:
        if self.online:
            self.online = False
            self.standing.off_log()

    def listen(self, most: int = 50) -> None:
        world = self.world
        if not self.online or self.work is not None:
            return
        if self.log_id != world.log_id:
            self.leave()
            return
        for offset in range(self.heard, min(len(world.topic), self.heard + most)):
            said = world.topic[offset]
            if isinstance(said, Claim):
                self.standing.on_claim(said, offset)
                continue
            ahead: list[Recorded] = []
            for partition, reports in said.by_partition.items():
                ahead += self.forwarder.on_progress(partition, reports, position=said.position[partition])
            streams = [report for reports in said.by_partition.values() for report in reports]
            for topic, label in sorted(LABELS):
                report = Progress(recorder="r", log_id="", topic=topic, partition=label, position=0, streams=streams, time=T0)  # fmt: skip
                self.standing.on_progress(report, ahead)
        self.heard = max(self.heard, min(len(world.topic), self.heard + most))

    def serve(self) -> None:
        """One turn of the link's loop."""
        if not self.online or self.work is not None:
            return
        if (evidence := self.standing.evidence()) is not None:
            self.work = self.changed(evidence)
            return
        self.standing.prove()
        if (claim := self.standing.claim()) is not None:
            self.world.topic.append(claim)
            self.world.heard_of |= {(one.stream.epoch, one.stream.machine) for one in claim.closed}
        if self.standing.may_send:
            for send in self.forwarder.poll(self.world.now, self.world.rng.randint(1, 6)):
                self.produce(send)
        for stream, mark in self.forwarder.missing:
            fields = {"id": mark.id, "of": stream, "cause": mark.cause, "begin": mark.begin, "end": mark.end}
            self.intake.put(
                Batch("forward", [Draft(stream.machine, T0 + self.world.now, T0 + self.world.now, Gap, fields)])
            )
        self.forwarder.missing.clear()
        if self.world.calm or self.world.rng.random() < 0.2:
            self.standing.follow()
            self.must_hear = False
            self.forwarder.trim()

    def changed(self, evidence: Evidence) -> Iterator[None]:
        if not (yield from self.change(evidence)):
            self.leave()  # the disk is full: the life on the log ends, and the next one reads the evidence again

    def produce(self, send: Any) -> None:
        world = self.world
        chance = 1.0 if world.calm else world.rng.random()
        if chance < 0.08:
            self.forwarder.failed(send.ticket)
            return
        partition = world.log[partition_of(send.stream.machine, PARTITIONS)]
        record = ("frame" if isinstance(send.event, Frame) else "event", f"gateway/{self.gateway}/0", send.event)
        partition += [record, record] if chance < 0.16 else [record]
        self.tickets.append((send.ticket, len(partition) - 1))

    def acknowledge(self) -> None:
        while self.online and self.log_id == self.world.log_id and self.tickets:
            if not self.world.calm and self.world.rng.random() < 0.2:
                return
            self.forwarder.delivered(*self.tickets.pop(0))

    def is_settled(self) -> bool:
        """Whether all its own numbers are on record."""
        state = self.forwarder.state()
        recorded = self.world.db["next"]
        return (
            self.online
            and self.work is None
            and not self.commit.jobs
            and all(recorded.get(name, 1) >= end for name, (end, _, _) in state.items())
        )

    # ---- faults ------------------------------------------------------------------------------------------------------
    def crash(self) -> None:
        self.disk.crash()
        self.start()

    def disk_full(self) -> None:
        self.disk.full = not self.disk.full

    def is_left_out(self) -> bool:
        """What nobody can tell: a loss beside a copy that was not noticed yet, a second loss after a machine has moved, or before what was
        said of the first is on record."""
        is_twin = sum(site.spool.epoch == self.spool.epoch for site in self.world.sites) > 1
        return is_twin or bool(self.world.lossy and (self.world.moves or not self.is_settled()))

    def lose_spool(self) -> None:
        if self.is_left_out():
            return
        self.world.lossy += 1
        self.put_files({})
        self.snapshot = None
        self.must_hear = True
        self.start()

    def photograph(self) -> None:
        if self.spool.resume(HOME) is not None:  # written within milliseconds of the first start
            self.snapshot = (self.durable_files(), self.spool.epoch, self.spool.end())

    def durable_files(self) -> dict[str, bytearray]:
        return {name: data[: self.disk.synced[name]] for name, data in self.disk.files.items()}

    def go_back(self) -> None:
        """To the last photograph: file by file (which the folder's marker shows), or with its whole disk."""
        if self.snapshot is None or self.is_left_out():
            return
        files, epoch, place = self.snapshot
        if self.world.rng.random() < 0.4:
            self.inode += 1000
        elif not self.world.is_known_to_reach(epoch, place) or self.spool.epoch != epoch:
            return
        self.world.lossy += 1
        self.put_files(files)
        self.snapshot = None
        self.must_hear = True
        self.start()

    def put_files(self, files: dict[str, bytearray]) -> None:
        self.disk.files = {name: bytearray(data) for name, data in files.items()}
        self.disk.synced = {name: len(data) for name, data in files.items()}
        self.disk.full = False


class SpoolWorld(World):
    """The log, the recorder and the database are those of `World`."""

    def __init__(self, seed: int) -> None:
        self.epochs_made = 0
        self.topic: list[Any] = []
        self.given: dict[int, list[tuple[str, int]]] = defaultdict(list)
        self.viewers = 0
        self.lossy = self.copies = self.moves = self.quiet = 0
        self.peak: Counter[str] = Counter()
        self.seen: Counter[str] = Counter()
        self.heard_of: set[Any] = set()  # epoch and machine of which something is recorded, or said to have ended
        self.sites: list[Site] = []
        super().__init__(seed)
        self.acked: Any = Counter()  # by machine and viewer: highest counter acknowledged upstream
        self.sites.append(Site(self, "gw", SimDisk(self.rng), {m: self.viewer() for m in MACHINES[:2]}, 1))
        self.sites.append(Site(self, "gw2", SimDisk(self.rng), {MACHINES[2]: self.viewer()}, 2))

    def start_gateway(self) -> None:
        """The sites are the gateways here."""

    def viewer(self) -> int:
        self.viewers += 1
        return self.viewers

    def epoch(self) -> str:
        self.epochs_made += 1
        return new_epoch(1_000_000 + self.epochs_made, self.rng.getrandbits(74))

    def durable(self, entries: list[Any], payloads: list[bytes]) -> None:
        for entry, payload in zip(entries, payloads, strict=True):
            event = decode(entry.type, payload)
            if isinstance(event, Frame):
                for number, _, _, value, _, _ in readings(event):
                    is_again = number <= self.peak[entry.stream]  # the spool went back, or there are two of it
                    self.given[value].append((entry.stream, AGAIN if is_again else number))  # type: ignore[index]
                self.peak[entry.stream] = max(self.peak[entry.stream], event.end - 1)

    def report(self) -> None:
        super().report()
        self.heard_of |= {tuple(name.split("/")[:2]) for name, number in self.db["next"].items() if number > 1}
        self.topic.append(Reports(list(self.db["position"]), dict(self.progress)))

    def restart_log(self) -> None:
        if any(site.must_hear for site in self.sites):
            return  # else nobody could know
        super().restart_log()
        self.topic = []
        self.heard_of = {tuple(name.split("/")[:2]) for name, number in self.db["next"].items() if number > 1}

    def is_known_to_reach(self, epoch: str, place: Any) -> bool:
        """Whether the log says that a spool was written beyond ``place``: else going back there looks like having been away, which sources tell."""
        return any(isinstance(c, Claim) and c.epoch == epoch and c.place is not None and c.place > place for c in self.topic)  # fmt: skip

    def is_unheard(self, given: list[tuple[str, int]]) -> bool:
        """Whether nobody had heard of what a spool gave a machine before that was gone."""
        return not any(tuple(name.split("/")[:2]) in self.heard_of for name, _ in given)

    def copy(self) -> None:
        """The spool of a gateway, copied to another folder, is started beside the original."""
        if len(self.sites) > 3:
            return
        site = self.rng.choice(self.sites)
        if site.spool.resume(HOME) is None or site.must_hear:
            return
        disk = SimDisk(self.rng)
        disk.files, disk.synced = site.durable_files(), {}
        disk.synced = {name: len(data) for name, data in disk.files.items()}
        self.copies += 1
        reads = {machine: self.viewer() for machine in sorted(site.reads)}
        self.sites.append(Site(self, site.gateway, disk, reads, len(self.sites) + 10))

    def move(self) -> None:
        """A machine to another gateway; the old one says that it ended, as a reload does, or is killed for ever."""
        if self.lossy > 1:
            return
        a, b = self.rng.sample(self.sites, 2)
        machine = self.rng.choice(MACHINES)
        if machine not in a.reads or machine in b.reads or a.work is not None or not a.is_ready or a.must_hear:
            return
        a.disk.full = False
        a.do_commit()
        self.moves += 1
        viewer = a.reads.pop(machine)
        now = T0 + self.now
        a.intake.put(Batch("@moved", [Draft(machine, now, now, StreamClosed, {"reason": "moved"})]))
        b.reads[machine] = viewer
        b.at[machine] = b.resumed(machine)

    def read_mail(self) -> None:
        mail, self.mail = self.mail, []
        for _, ask in mail:
            for site in self.sites:
                known = site.spool.streams() | site.forwarder.state()
                if site.online and site.work is None and ask.source == f"gateway/{site.gateway}/0" and str(ask.stream) in known:  # fmt: skip
                    site.forwarder.on_send_again(ask.stream, ask.number)


STEPS = (("offer", 24), ("do_commit", 16), ("do_work", 16), ("connect", 8), ("listen", 12), ("serve", 20), ("acknowledge", 10), ("photograph", 1),
         ("crash", 2), ("cut", 1), ("disk_full", 1))  # fmt: skip
WORLD_STEPS = (("record", 40), ("read_mail", 8), ("start_recorder", 2), ("restart_log", 0.3))
SITE_FAULTS = (("lose_spool", 0.4), ("go_back", 1.5))
WORLD_FAULTS = (("copy", 0.4), ("move", 1.2))
OF_A_SITE = {name for name, _ in (*STEPS, *SITE_FAULTS)}


def run(seed: int, steps: int = 260) -> Counter[str]:
    """One schedule, then calm until everything has arrived, then the rules. Returns what happened, for statistics."""
    world = SpoolWorld(seed)
    names, weights = zip(*STEPS, *WORLD_STEPS, *SITE_FAULTS, *WORLD_FAULTS, strict=True)
    for name in world.rng.choices(names, weights, k=steps):
        world.now += 1
        step(world, name)
    settle(world)
    check(world)
    return world.seen


def step(world: SpoolWorld, name: str) -> None:
    getattr(world.rng.choice(world.sites) if name in OF_A_SITE else world, name)()


def settle(world: SpoolWorld) -> None:
    world.calm = True
    for _ in range(40):  # every machine speaks once more: with that its new stream begins, and says what it follows
        for site in world.sites:
            site.disk.full = False
            for name in ("do_work", "do_commit"):
                getattr(site, name)()
            site.offer()
    for _ in range(900):
        world.now += 4
        for site in world.sites:
            site.disk.full = False
            for name in ("do_commit", "do_work", "connect", "listen", "serve", "acknowledge"):
                getattr(site, name)()
        for name in ("record", "record", "record", "read_mail"):
            getattr(world, name)()
        if all(site.is_settled() for site in world.sites):
            world.quiet += 1
            if world.quiet > 18:
                return
        else:
            world.quiet = 0
    raise AssertionError(f"not everything arrived: {[s.forwarder.state() for s in world.sites]}, {world.db['next']}")


def check(world: SpoolWorld) -> None:
    """The rules."""
    recorded: Counter[int] = Counter()
    gaps: list[Covered] = []
    for name, rows in world.db["rows"].items():
        expected = 1
        for _, event, mark in rows:
            first = event.first if isinstance(event, Frame) else event.number
            if first != expected:
                told = None if mark is None else (mark.begin, mark.end)
                assert told == (expected, first), f"{name} jumps from {expected} to {first}, gap {told}"
                gaps.append(Covered(event.stream, expected, first, event.stream.epoch))
            expected = end_of(event)
            if isinstance(event, Frame):
                recorded.update(value for _, _, _, value, _, _ in readings(event))  # type: ignore[misc]
            elif isinstance(event, Gap):
                gaps.append(Covered(event.of, event.begin or 1, event.end, event.stream.epoch))
        assert expected == world.db["next"][name], f"{name} ends at {expected}, watermark {world.db['next'][name]}"
    twice = [value for value, times in recorded.items() if times > 1]
    assert not twice, f"on record twice: {twice[:5]}, given as {[world.given[v] for v in twice[:2]]}"
    running = Counter(site.spool.epoch for site in world.sites)
    assert max(running.values()) == 1, f"two gateways write epoch {running.most_common(1)[0][0]}"
    for (_, viewer), counter in world.acked.items():
        for value in range(viewer * 10**6 + 1, viewer * 10**6 + counter + 1):
            if value not in recorded:
                world.seen["lost"] += 1
                assert world.lossy or world.copies, (
                    f"{value} is not on record, and no spool was lost: {world.given[value]}"
                )
                if any(gap.covers(*place) for gap in gaps for place in world.given[value]):
                    continue
                world.seen["unheard"] += 1
                assert world.is_unheard(world.given[value]), f"{value} is not on record and no gap covers it: {world.given[value]}"  # fmt: skip
    world.seen += Counter(lossy=world.lossy, copies=world.copies, moves=world.moves, gaps=len(gaps), epochs=world.epochs_made, logs=world.log_id,
                          repeats=world.recorder.repeats)  # fmt: skip


class Covered(NamedTuple):
    """What a gap record speaks of. An open end (None) is where the stream that follows, of ``told_in``, begins."""

    of: StreamId
    begin: int
    end: int | None
    told_in: str

    def covers(self, name: str, number: int) -> bool:
        stream = StreamId.parse(name)
        if (stream.machine, stream.kind) != (self.of.machine, self.of.kind):
            return False
        if stream.epoch == self.of.epoch:
            return self.begin <= number and (self.end is None or number < self.end)
        return self.end is None and self.of.epoch < stream.epoch < self.told_in


def run_many(first: int, schedules: int) -> Counter[str]:
    """Schedules ``first … first + schedules - 1``; AssertionError names the seed and how to replay it."""
    return run_each(run, __name__, first, schedules)
