"""Whether every consumer has used everything that is recorded, by the database's own account, not by how long nothing has changed.

A part that was killed is still a member of its group until the log misses it (6 s on the embedded log). The one started in its place
is ready with the other partitions before, and nothing changes meanwhile: neither readiness nor quiet tells that all was judged.
"""

from __future__ import annotations

from shinkei_alerts.table import untaken
from shinkei_events.settings import PlantFile
from shinkei_store.pool import connect

_BEHIND = """
select c.consumer, r.machine, r.kind, coalesce(w.next_number, 1), r.next_number
from v_recorded r join (values ('detect', 'signals'), ('alerts', 'production')) c (consumer, kind) on c.kind = r.kind
left join watermark w on w.consumer = c.consumer and w.stream = r.epoch || '/' || r.machine || '/' || r.kind
where coalesce(w.next_number, 1) < r.next_number order by 1, 2"""

_UNTRACED = """
select number, (select max(number) from event_raw) from trace_position
where number is distinct from (select max(number) from event_raw)"""


def what_is_behind(plant: PlantFile) -> list[str]:
    """A line for each stream that the detector, the tracer or the alarms have not used to its recorded end; none when all have."""
    with connect(plant, "alerts") as conn:
        found = [
            f"{consumer}: {machine} {kind} at {number} of {end}"
            for consumer, machine, kind, number, end in conn.execute(_BEHIND).fetchall()
        ]
        found += [f"trace: at {number} of {end}" for number, end in conn.execute(_UNTRACED).fetchall()]
        return [*found, *(f"alerts: a {type} not taken" for type, _ in untaken(conn))]
