-- What the recorder writes: frames and events as they were, rows for SQL, states, gaps, roll-ups, master data.
-- Times: timestamptz for questions, ns (bigint) where it is evidence.

select make_series('frame', $c$
  stream_id integer not null,
  first bigint not null,
  n integer not null,
  t0 bigint not null,                      -- source time (ns) of the earliest reading
  t1 bigint not null,                      -- … and of the latest
  received timestamptz not null,
  production bigint not null,
  body bytea not null                      -- zstd of the encoded frame, as recorded
$c$, 'received', interval '1 day');
create index frame_number on frame (stream_id, first);
create index frame_time on frame (stream_id, t1);

-- The lineage's log: append-only, numbers contiguous in commit order (given under an advisory lock at the end of the transaction).
create table event_raw (
  number bigint primary key,
  recorded timestamptz not null default now(),
  stream_id integer not null,
  stream_number bigint not null,
  type text not null,
  machine text not null,
  time bigint not null,
  body bytea not null,
  unique (stream_id, stream_number)
);
create index event_raw_machine on event_raw (machine, time);
create table event_raw_end (one boolean primary key default true check (one), number bigint not null);
insert into event_raw_end values (true, 0);

create table signal (
  id integer generated always as identity primary key,
  machine text not null,
  name text not null,
  unit text, unece text, low double precision, high double precision, source text, node text, data_type text, description text,
  described bigint,
  unique (machine, name)
);

select make_series('reading', $c$
  signal_id integer not null, ts timestamptz not null, status bigint not null, stream_id integer not null, number bigint not null,
  t_ns bigint not null, value double precision
$c$, 'ts', interval '7 days');
create index reading_signal on reading (signal_id, ts);
select make_series('reading_other', $c$
  signal_id integer not null, ts timestamptz not null, status bigint not null, stream_id integer not null, number bigint not null,
  t_ns bigint not null, value jsonb        -- text, exact integers, booleans, arrays, structures
$c$, 'ts', interval '7 days');
create index reading_other_signal on reading_other (signal_id, ts);

create table last_value (
  signal_id integer primary key, t_ns bigint not null, value double precision, other jsonb, status bigint not null,
  stream_id integer not null, number bigint not null
) with (fillfactor = 50);

-- Roll-ups: our own statement on every engine. level: 60, 900, 3600 s.
create table rollup (
  signal_id integer not null, level integer not null, ts timestamptz not null,
  n bigint not null, total double precision not null, squares double precision not null, low double precision, high double precision, bad bigint not null,
  primary key (signal_id, level, ts)
);

-- Machine states: the changes; intervals are what lies between two of them (any order of arrival gives the same).
create table state_change (
  machine text not null, time bigint not null, stream_id integer not null, number bigint not null,
  state text not null, reason text, code text, product text, recipe text, tool text, by_gateway boolean not null default false,
  primary key (machine, time, stream_id, number)
);

create table energy (
  machine text not null, medium text not null, time bigint not null, value double precision not null, unit text not null,
  stream_id integer not null, number bigint not null,
  primary key (machine, medium, time, stream_id, number)
);

create table gap (
  id text primary key,
  of_stream text not null, machine text not null, kind text not null, cause text not null,
  begin_number bigint, end_number bigint, t_from bigint, t_to bigint,
  at_least bigint not null default 0, channels text[] not null default '{}', possible boolean not null default false, detail text not null default '',
  recorded timestamptz not null default now()
);
create index gap_machine on gap (machine, t_from);

create table clock_skew (
  machine text not null, source text not null, time bigint not null, skew bigint not null, limit_ns bigint not null, within boolean not null,
  primary key (machine, source, time)
);

create table quarantine (
  stream_id integer not null, number bigint not null, machine text not null, time bigint not null, received bigint not null,
  source text not null, place text not null, reason text not null, path text, content_type text not null, raw bytea not null, size bigint,
  replay_of text, recorded timestamptz not null default now(),
  primary key (stream_id, number)
);

-- Master data, every version; `master` documents are the single form, views give columns.
create table master_data (
  kind text not null, name text not null, version integer not null, valid_from bigint not null, retired boolean not null default false,
  body jsonb not null, applied timestamptz not null default now(),
  primary key (kind, name, version)
);
create function master_at(at bigint) returns table (kind text, name text, version integer, valid_from bigint, retired boolean, body jsonb)
language sql stable as $$
  select distinct on (m.kind, m.name) m.kind, m.name, m.version, m.valid_from, m.retired, m.body
  from master_data m where m.valid_from <= at order by m.kind, m.name, m.version desc $$;
comment on function master_at(bigint) is 'the version of every document that held at a time (ns UTC)';
create view v_master as select kind, name, version, valid_from, body from master_at(to_ns(now())) where not retired;
create view v_machine as
  select name as machine, version, body->>'path' as path, regexp_replace(body->>'path', '/[^/]*$', '') as line, coalesce(body->'title', '{}') as title,
         body->>'group' as "group", body->>'operation' as operation, coalesce(body->'upstream', '[]') as upstream
  from v_master where kind = 'machine';
create view v_characteristic as
  select name, version, valid_from,
         min(valid_from) over (partition by name order by version rows between 1 following and unbounded following) as valid_to, retired, body->>'product' as product, body->>'operation' as operation, body->>'characteristic' as characteristic,
         body->>'unit' as unit, (body->>'lsl')::float8 as lsl, (body->>'target')::float8 as target, (body->>'usl')::float8 as usl
  from master_data where kind = 'characteristic';

-- What others ask; the functions are in the file of questions.
create view v_state_now as
  select distinct on (machine) machine, time, to_ts(time) as since, state, reason, code, product, recipe, tool
  from state_change order by machine, time desc, stream_id desc, number desc;

create view v_last_value as
  select s.machine, s.name as signal, s.unit, s.low, s.high, l.t_ns, to_ts(l.t_ns) as ts, l.value, l.other, l.status, l.stream_id, l.number
  from last_value l join signal s on s.id = l.signal_id;

create view v_recorded as
  select s.id as stream_id, s.epoch, s.machine, s.kind, s.source, w.next_number
  from stream s join watermark w on w.stream = s.epoch || '/' || s.machine || '/' || s.kind join recorder r on r.name = w.consumer;

do $$
declare part text;
begin
  foreach part in array array['shinkei_trace', 'shinkei_detect', 'shinkei_alerts', 'shinkei_ui'] loop
    execute format('grant select on frame, event_raw, signal, reading, reading_other, last_value, rollup, state_change, energy, gap, clock_skew, quarantine, master_data,
      v_master, v_machine, v_characteristic, v_state_now, v_last_value, v_recorded to %I', part);
  end loop;
end $$;
grant select, insert, update, delete on frame, signal, reading, reading_other, last_value, rollup, state_change, energy, gap, clock_skew, quarantine, master_data to shinkei_store;
grant select, insert on event_raw to shinkei_store;
grant select, update on event_raw_end to shinkei_store;
grant select on v_master, v_machine, v_characteristic, v_state_now, v_last_value, v_recorded to shinkei_store;
