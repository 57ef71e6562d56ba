"""One gateway of the simulation of spools: all real pure parts on one disk, and what may happen to it. `spool_simulation` schedules it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from shinkei_events.errors import Full
from shinkei_events.model.frame import Frame
from shinkei_events.model.numbered import Gap
from shinkei_events.model.progress import Claim, Progress, Recorded
from shinkei_events.topics import TOPIC_OF_KIND, partition_of
from shinkei_gateway.epoch_change import EpochChange, Evidence
from shinkei_gateway.forward import Forwarder
from shinkei_gateway.home import HOME, moved
from shinkei_gateway.intake import Batch, Draft, Intake, Reading
from shinkei_gateway.ownership import OWNERSHIP, Ownership
from shinkei_gateway.spool.spool import open_spool
from shinkei_gateway.standing import Standing
from tests.support.protocol_simulation import PARTITIONS, T0, SimCommit, SimDisk

if TYPE_CHECKING:
    from tests.support.spool_simulation import SpoolWorld

MACHINES = ("M1", "M2", "M3")
LABELS = sorted({(TOPIC_OF_KIND[kind].name, partition_of(m)) for kind in ("signals", "production") for m in MACHINES})  # type: ignore[index]


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
            for topic, label in LABELS:
                report = Progress(recorder="r", log_id="", topic=topic, partition=label, position=0, streams=streams, time=T0)  # fmt: skip
                self.standing.on_progress(report, ahead)
                streams, ahead = [], []  # said once
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
