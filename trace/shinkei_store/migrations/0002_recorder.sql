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
create view v_master as
  select distinct on (kind, name) kind, name, version, valid_from, body from master_data order by kind, name, version desc;
create view v_machine as
  select name as machine, version, body->>'path' as path, regexp_replace(body->>'path', '/[^/]*$', '') as line, coalesce(body->'title', '{}') as title,
         body->>'group' as "group", body->>'operation' as operation, coalesce(body->'upstream', '[]') as upstream
  from v_master where kind = 'machine' and not coalesce((body->>'retired')::boolean, false);
create view v_characteristic as
  select name, version, valid_from, body->>'product' as product, body->>'operation' as operation, body->>'characteristic' as characteristic,
         body->>'unit' as unit, (body->>'lsl')::float8 as lsl, (body->>'target')::float8 as target, (body->>'usl')::float8 as usl
  from master_data where kind = 'characteristic';

-- What others ask.
create function machine_states(of_machine text, t_from timestamptz, t_to timestamptz)
returns table (machine text, t0 timestamptz, t1 timestamptz, state text, reason text, product text, recipe text, tool text, stream text, number bigint)
language sql stable as $$
  with bounds as (select to_ns(t_from) as a, to_ns(t_to) as b),
  before as (
    select c.* from state_change c, bounds where c.machine = of_machine and c.time <= bounds.a order by c.time desc, c.stream_id desc, c.number desc limit 1),
  inside as (select c.* from state_change c, bounds where c.machine = of_machine and c.time > bounds.a and c.time < bounds.b),
  all_of as (select * from before union all select * from inside),
  spans as (
    select a.*, lead(a.time) over (order by a.time, a.stream_id, a.number) as until from all_of a)
  select s.machine, greatest(to_ts(s.time), t_from), least(coalesce(to_ts(s.until), t_to), t_to), s.state, s.reason, s.product, s.recipe, s.tool,
         st.epoch || '/' || st.machine || '/' || st.kind, s.number
  from spans s join stream st on st.id = s.stream_id, bounds
  where coalesce(s.until, bounds.b) > s.time order by s.time, s.stream_id, s.number $$;

create view v_state_now as
  select distinct on (machine) machine, time, to_ts(time) as since, state, reason, code, product, recipe, tool
  from state_change order by machine, time desc, stream_id desc, number desc;

create view v_last_value as
  select s.machine, s.name as signal, s.unit, s.low, s.high, l.t_ns, to_ts(l.t_ns) as ts, l.value, l.other, l.status, l.stream_id, l.number
  from last_value l join signal s on s.id = l.signal_id;

create view v_recorded as
  select s.id as stream_id, s.epoch, s.machine, s.kind, s.source, w.next_number
  from stream s join watermark w on w.stream = s.epoch || '/' || s.machine || '/' || s.kind join recorder r on r.name = w.consumer;

create function read_signal(of_machine text, of_signal text, t_from timestamptz, t_to timestamptz, points integer default 1000)
returns table (ts timestamptz, mean double precision, low double precision, high double precision, n bigint, bad bigint, origin text)
language plpgsql stable as $$
declare
  of_id integer; seconds double precision := extract(epoch from t_to - t_from); step interval; level_of integer;
begin
  select id into of_id from signal s where s.machine = of_machine and s.name = of_signal;
  if of_id is null then return; end if;
  level_of := case when seconds / points >= 3600 then 3600 when seconds / points >= 900 then 900 when seconds / points >= 60 then 60 else 0 end;
  if level_of > 0 then
    return query select date_bin(level_of * interval '1 second' * greatest(1, ceil(seconds / points / level_of)), r.ts, t_from), sum(r.total) / nullif(sum(r.n - r.bad), 0),
        min(r.low), max(r.high), sum(r.n)::bigint, sum(r.bad)::bigint, 'rollup'
      from rollup r where r.signal_id = of_id and r.level = level_of and r.ts >= t_from and r.ts < t_to group by 1 order by 1;
    if found then return; end if;
  end if;
  step := greatest(seconds / points, 0.001) * interval '1 second';
  if (select count(*) from (select 1 from reading r where r.signal_id = of_id and r.ts >= t_from and r.ts < t_to limit points + 1) c) <= points then
    return query select r.ts, r.value, r.value, r.value, 1::bigint, (r.status >= 2147483648)::int::bigint, 'rows'
      from reading r where r.signal_id = of_id and r.ts >= t_from and r.ts < t_to order by r.ts;
  else
    return query select date_bin(step, r.ts, t_from), avg(r.value), min(r.value), max(r.value), count(*), count(*) filter (where r.status >= 2147483648), 'rows'
      from reading r where r.signal_id = of_id and r.ts >= t_from and r.ts < t_to group by 1 order by 1;
  end if;
end $$;

create function gaps_between(of_machine text, t_from timestamptz, t_to timestamptz) returns setof gap language sql stable as $$
  select * from gap where machine = of_machine and coalesce(t_from, to_ns(recorded)) < to_ns($3) and coalesce(t_to, to_ns(recorded)) >= to_ns($2) order by t_from $$;

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
