"""Spools that are lost, go back in time or are copied, and machines that move, under a hostile scheduler. Beside `protocol_simulation`.

All real pure parts of several gateways on one log, which drops, repeats and starts empty again; every gateway may crash at any step, also
while it changes its epoch. One seed is one schedule. `run(seed)` raises AssertionError with the seed in its text when a rule breaks:

* whatever was acknowledged to a machine is on record once, or a gap record covers its number;
* nothing is on record twice, and no stream jumps without a mark;
* no two gateways that run write one epoch.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any, NamedTuple

from shinkei_events.codec import decode
from shinkei_events.frames import readings
from shinkei_events.identity import StreamId, new_epoch
from shinkei_events.model.frame import Frame
from shinkei_events.model.numbered import Gap, StreamClosed
from shinkei_events.model.progress import Claim, Recorded
from shinkei_gateway.home import HOME
from shinkei_gateway.intake import Batch, Draft
from tests.support.protocol_simulation import T0, SimDisk, World, end_of, run_each
from tests.support.simulated_gateway import MACHINES, Site

AGAIN = 1 << 60
"""In the place of a number that was given before to something else: only a gap without an end covers it."""


class Reports(NamedTuple):
    """What the recorder reported, of all partitions at once."""

    position: list[int]
    by_partition: dict[int, list[Recorded]]


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
