-- What came out of quarantine, once. A gateway that lost its own list of replays (with its spool) may replay a record again, in another
-- stream: its frames and events stay on record under their numbers, but its values are not counted twice.
create table replay (
  replay_of text not null,                 -- epoch/machine/quarantine/number of the quarantine record
  machine text not null,
  kind text not null,
  stream_id integer not null,              -- the stream that has it; in any other it is a repeat
  first_number bigint not null,
  recorded timestamptz not null default now(),
  primary key (replay_of, machine, kind)
);
alter table clock_skew add column step bigint;   -- ns that the clock was set back by (negative)

create view v_quarantine as
  select s.epoch || '/' || s.machine || '/' || s.kind as stream, q.number, q.machine, q.source, q.place, q.reason, q.path, q.content_type, q.time, q.received,
    q.raw, q.size, q.recorded, r.recorded as replayed, r.first_number as replayed_as
  from quarantine q join stream s on s.id = q.stream_id
  left join lateral (
    select min(p.recorded) as recorded, min(p.first_number) as first_number from replay p
    where p.replay_of = s.epoch || '/' || s.machine || '/' || s.kind || '/' || q.number) r on true;
comment on view v_quarantine is 'what a gateway could not understand, with its bytes, and when it was replayed';

grant select on replay, v_quarantine to shinkei_store, shinkei_trace, shinkei_detect, shinkei_alerts, shinkei_ui;
grant insert, update, delete on replay to shinkei_store;
