-- The questions that have one answer for every screen, export and alert. They run with the rights of who asks.

-- Since when is the line quiet, until when do we know? A machine of which nothing came after a time is unknown after it, not running.
create function known_until(of_machine text) returns timestamptz language sql stable as $$
  select to_ts(greatest(
    (select max(l.t_ns) from last_value l join signal s on s.id = l.signal_id where s.machine = of_machine),
    (select max(e.time) from event_raw e where e.machine = of_machine))) $$;

-- States as intervals, cut to t_from … t_to. Before the first known state: NO_DATA, which is not idle. The last one is open.
create function machine_states(of_machine text, t_from timestamptz, t_to timestamptz)
returns table (machine text, t0 timestamptz, t1 timestamptz, state text, reason text, product text, recipe text, tool text, stream text, number bigint)
language sql stable as $$
  with before as (
    select c.* from state_change c where c.machine = of_machine and c.time <= to_ns(t_from) order by c.time desc, c.stream_id desc, c.number desc limit 1),
  inside as (
    select c.* from state_change c where c.machine = of_machine and c.time > to_ns(t_from) and c.time < to_ns(t_to)),
  changes as (
    select c.machine, c.time, c.stream_id, c.number, c.state, c.reason, c.product, c.recipe, c.tool from before c
    union all
    select c.machine, c.time, c.stream_id, c.number, c.state, c.reason, c.product, c.recipe, c.tool from inside c
    union all
    select of_machine, to_ns(t_from), null, null, 'NO_DATA', null, null, null, null where not exists (select from before)),
  spans as (
    select c.*, lead(c.time, 1, to_ns(t_to)) over (order by c.time, c.stream_id nulls first, c.number) as until from changes c)
  select s.machine, greatest(to_ts(s.time), t_from), least(to_ts(s.until), t_to), s.state, s.reason, s.product, s.recipe, s.tool,
         st.epoch || '/' || st.machine || '/' || st.kind, s.number
  from spans s left join stream st on st.id = s.stream_id
  where s.until > greatest(s.time, to_ns(t_from)) order by s.time, s.stream_id nulls first, s.number $$;

-- Gaps with their times: of a range of numbers, the times of its neighbours on record (null: there is none yet).
create view v_gap as
  select g.id, g.of_stream, g.machine, g.kind, g.cause, g.begin_number, g.end_number,
    coalesce(g.t_from, before.time) as t_from, coalesce(g.t_to, behind.time) as t_to,
    g.at_least, g.channels, g.possible, g.detail, g.recorded
  from gap g
  left join stream s on g.t_from is null and g.of_stream = s.epoch || '/' || s.machine || '/' || s.kind
  left join lateral (
    select max(n.time) as time from (
      (select f.t1 as time from frame f where f.stream_id = s.id and f.first < g.begin_number order by f.first desc limit 1)
      union all
      (select e.time from event_raw e where e.stream_id = s.id and e.stream_number < g.begin_number order by e.stream_number desc limit 1)) n) before on true
  left join lateral (
    select min(n.time) as time from (
      (select f.t0 as time from frame f where f.stream_id = s.id and f.first >= g.end_number order by f.first limit 1)
      union all
      (select e.time from event_raw e where e.stream_id = s.id and e.stream_number >= g.end_number order by e.stream_number limit 1)) n) behind on true;

create function gaps_between(of_machine text, since timestamptz, upto timestamptz) returns setof v_gap language sql stable as $$
  select g.* from v_gap g
  where g.machine = of_machine and coalesce(g.t_from, g.t_to, to_ns(g.recorded)) < to_ns(upto) and coalesce(g.t_to, g.t_from, to_ns(g.recorded)) >= to_ns(since)
  order by g.t_from nulls last, g.recorded $$;

-- Values of a signal from readings or roll-ups, whichever serve; `read_signal` is the one to ask.
create function signal_values(of_machine text, of_signal text, since timestamptz, upto timestamptz, points integer)
returns table (ts timestamptz, mean double precision, low double precision, high double precision, n bigint, bad bigint, origin text, until timestamptz, detail text)
language plpgsql stable as $$
declare
  of_id integer;
  seconds double precision := extract(epoch from upto - since);
  step double precision := greatest(seconds / greatest(points, 1), 0.000001);
  level_of integer := case when step >= 3600 then 3600 when step >= 900 then 900 when step >= 60 then 60 else 0 end;
  bin interval;
  rows_kept bigint;
begin
  select s.id into of_id from signal s where s.machine = of_machine and s.name = of_signal;
  if of_id is null then return; end if;
  if level_of > 0 then
    bin := level_of * interval '1 second' * ceil(step / level_of);
    return query
      select date_bin(bin, r.ts, timestamptz '2020-01-06 00:00+00'), sum(r.total) / nullif(sum(r.n - r.bad), 0), min(r.low), max(r.high),
        sum(r.n)::bigint, sum(r.bad)::bigint, 'rollup', null::timestamptz, null::text
      from rollup r where r.signal_id = of_id and r.level = level_of and r.ts >= date_bin(level_of * interval '1 second', since, timestamptz '2020-01-06 00:00+00') and r.ts < upto
      group by 1 order by 1;
    if found then return; end if;
  end if;
  select count(*) into rows_kept from (select 1 from reading r where r.signal_id = of_id and r.ts >= since and r.ts < upto limit points + 1) c;
  if rows_kept > points then
    return query
      select date_bin(step * interval '1 second', r.ts, since), avg(r.value) filter (where r.status < 2147483648),
        min(r.value) filter (where r.status < 2147483648), max(r.value) filter (where r.status < 2147483648), count(*),
        count(*) filter (where r.status >= 2147483648), 'rows', null::timestamptz, null::text
      from reading r where r.signal_id = of_id and r.ts >= since and r.ts < upto group by 1 order by 1;
  elsif rows_kept > 0 then
    return query
      select r.ts, case when r.status < 2147483648 then r.value end, case when r.status < 2147483648 then r.value end,
        case when r.status < 2147483648 then r.value end, 1::bigint, (r.status >= 2147483648)::int::bigint, 'rows', null::timestamptz, null::text
      from reading r where r.signal_id = of_id and r.ts >= since and r.ts < upto order by r.ts, r.number;
  else
    return query
      select since, null::float8, null::float8, null::float8, 0::bigint, 0::bigint, 'frames', upto, count(*) || ' frames'
      from frame f join stream s on s.id = f.stream_id
      where s.machine = of_machine and s.kind in ('signals', 'history') and f.t1 between to_ns(since) and to_ns(upto) + 86400000000000 and f.t0 < to_ns(upto)
      having count(*) > 0;
  end if;
end $$;

-- The one way to ask for a signal: about `points` rows in the order of time, and among them what is missing.
-- origin: rows (single readings or bins of them), rollup, gap (from ts until `until` something is or may be missing; detail says why; mean is null,
-- which breaks a line on a chart), frames (no rows are kept of this signal and the span is too short for roll-ups: decode the frames of the machine).
create function read_signal(of_machine text, of_signal text, since timestamptz, upto timestamptz, points integer default 1000)
returns table (ts timestamptz, mean double precision, low double precision, high double precision, n bigint, bad bigint, origin text, until timestamptz, detail text)
language sql stable as $$
  select * from signal_values(of_machine, of_signal, since, upto, points)
  union all
  select greatest(to_ts(g.t_from), since), null, null, null, 0, 0, 'gap', least(coalesce(to_ts(g.t_to), upto), upto), g.cause || case when g.possible then ' (possible)' else '' end
  from gaps_between(of_machine, since, upto) g
  where g.kind in ('signals', 'history') and (g.channels = '{}' or of_signal = any (g.channels))
  order by 1, 7 $$;

-- Units worked on at a machine in a span: every operation that overlaps it. Operations last minutes; the few that take more than an hour have an index.
create index event_long on event (machine, ts) where ts - started > 3600000000000;
create function parts_in_span(of_machine text, t_from timestamptz, t_to timestamptz)
returns table (unit bigint, serial text, kind text, item text, started bigint, ended bigint, result text, raw_number bigint)
language sql stable as $$
  with overlapping as (
    select e.unit, e.started, e.ts, e.result, e.raw_number, e.role, e.slot from event e
    where e.machine = of_machine and e.ts >= to_ns(t_from) and e.ts <= to_ns(t_to) + 3600000000000 and e.started <= to_ns(t_to)
    union
    select e.unit, e.started, e.ts, e.result, e.raw_number, e.role, e.slot from event e
    where e.machine = of_machine and e.ts - e.started > 3600000000000 and e.ts >= to_ns(t_from) and e.started <= to_ns(t_to))
  select distinct on (u.id) u.id, u.serial, u.kind, u.item, e.started, e.ts, e.result, e.raw_number
  from overlapping e join unit u on u.id = e.unit
  where u.kind in ('serial', 'lot') and e.role <> 'input' and e.slot is null
  order by u.id, e.ts, e.raw_number $$;

-- Shifts of a line as intervals of absolute time; a shift's local times are in its own zone, and it may end on the next day.
create function shifts_between(of_line text, t_from timestamptz, t_to timestamptz)
returns table (line text, name text, begins timestamptz, ends timestamptz, break_s double precision) language sql stable as $$
  with shift as (
    select body->>'line' as line, name, (body->>'starts')::time as starts, (body->>'ends')::time as ends,
      coalesce((select array_agg(d::int) from jsonb_array_elements_text(body->'weekdays') d), '{1,2,3,4,5}') as weekdays,
      coalesce((body->>'break_minutes')::float8, 0) * 60 as break_s, coalesce(body->>'zone', 'UTC') as zone
    from master_at(to_ns(t_to)) where kind = 'shift' and not retired)
  select s.line, s.name, times.begins, times.ends, s.break_s
  from shift s,
    generate_series((t_from at time zone s.zone)::date - 1, (t_to at time zone s.zone)::date, interval '1 day') as day,
    lateral (select (day::date + s.starts) at time zone s.zone as begins,
                    (day::date + s.ends + case when s.ends <= s.starts then interval '1 day' else interval '0' end) at time zone s.zone as ends) times
  where (of_line is null or s.line = of_line or of_line like '%/' || s.line) and extract(isodow from day) = any (s.weekdays)
    and times.begins < t_to and times.ends > t_from
  order by times.begins, s.line, s.name $$;

-- The shift of a line (null: any line) at a time; no row between shifts and where none are planned.
create function fn_shift(of_line text default null, at timestamptz default now())
returns table (line text, name text, begins timestamptz, ends timestamptz, break_s double precision) language sql stable as $$
  select * from shifts_between(of_line, at, at + interval '1 microsecond') order by begins desc limit 1 $$;

-- How many operations a machine finished. An operation that does not judge (unknown) counts as good: nothing bad is known of it.
create function counts_by_product(of_machine text, t_from timestamptz, t_to timestamptz)
returns table (product text, good bigint, rejected bigint, total bigint) language sql stable as $$
  with finished as (
    select distinct on (e.eid) e.eid, e.product, e.result from event e
    where e.machine = of_machine and e.ts >= to_ns(t_from) and e.ts < to_ns(t_to) and e.op in ('process', 'assemble', 'inspect', 'pack', 'rework', 'split', 'merge')
    order by e.eid, e.product nulls last)
  select product, count(*) filter (where result in ('pass', 'unknown')), count(*) filter (where result not in ('pass', 'unknown')), count(*)
  from finished group by product $$;

create function fn_counts(of_machine text, t_from timestamptz, t_to timestamptz) returns table (good bigint, rejected bigint, total bigint) language sql stable as $$
  select coalesce(sum(good), 0)::bigint, coalesce(sum(rejected), 0)::bigint, coalesce(sum(total), 0)::bigint from counts_by_product(of_machine, t_from, t_to) $$;

-- ISO 22400-2. Planned busy time: the line's shifts (all the time where none are planned) without breaks or planned stops, whichever is longer, and
-- without time of which nothing is known (unknown_s). Availability = production time / planned; effectiveness = sum of planned run time per item x
-- produced / production time; quality = good / produced. Null where a part of it is unknown, such as an ideal cycle of a product that was made.
create function fn_oee(of_machine text, t_from timestamptz, t_to timestamptz)
returns table (planned_s double precision, production_s double precision, down_s double precision, unknown_s double precision, produced bigint, good bigint,
               availability double precision, effectiveness double precision, quality double precision, oee double precision)
language sql stable as $$
  with known as (select least(t_to, greatest(t_from, coalesce(known_until(of_machine), t_from))) as upto),
  place as (select coalesce((select line from v_machine where machine = of_machine), '') as line),
  plan as (
    select greatest(s.begins, t_from) as t0, least(s.ends, t_to) as t1, s.break_s * extract(epoch from least(s.ends, t_to) - greatest(s.begins, t_from)) / extract(epoch from s.ends - s.begins) as break_s
    from place, shifts_between(place.line, t_from, t_to) s
    union all
    select t_from, t_to, 0 from place where not exists (select from master_at(to_ns(t_to)) m where m.kind = 'shift' and not m.retired
      and (m.body->>'line' = place.line or place.line like '%/' || (m.body->>'line')))),
  states as (
    select s.state, coalesce(r.body->>'category', 'availability') as category,
      extract(epoch from least(s.t1, p.t1, k.upto) - greatest(s.t0, p.t0)) as seconds
    from known k, machine_states(of_machine, t_from, t_to) s join plan p on p.t0 < s.t1 and p.t1 > s.t0
    left join v_master r on r.kind = 'reason' and r.name = s.reason
    where least(s.t1, p.t1, k.upto) > greatest(s.t0, p.t0)),
  times as (
    select coalesce(sum(seconds), 0)::float8 as all_s,
      coalesce(sum(seconds) filter (where state in ('EXECUTE', 'COMPLETING', 'STARTING')), 0)::float8 as run_s,
      coalesce(sum(seconds) filter (where state = 'NO_DATA'), 0)::float8 as no_data_s,
      coalesce(sum(seconds) filter (where category in ('planned', 'external') and state not in ('EXECUTE', 'COMPLETING', 'STARTING', 'NO_DATA')), 0)::float8 as stop_s
    from states),
  wanted as (select coalesce(sum(extract(epoch from t1 - t0)), 0)::float8 as all_s, coalesce(sum(break_s), 0)::float8 as break_s from plan),
  counts as (select coalesce(sum(c.good), 0)::bigint as good, coalesce(sum(c.total), 0)::bigint as total,
                    sum(c.total * i.seconds) filter (where i.seconds is not null) as ideal_s, bool_and(i.seconds is not null) as ideal_known
             from counts_by_product(of_machine, t_from, t_to) c
             left join lateral (select (m.body->>'seconds')::float8 as seconds from v_master m
                                where m.kind = 'ideal_cycle' and m.body->>'machine' = of_machine and m.body->>'product' = c.product) i on true),
  figures as (
    select greatest(t.run_s, t.all_s - t.no_data_s - greatest(t.stop_s, least(w.break_s, t.all_s - t.no_data_s - t.run_s))) as planned, t.run_s,
      greatest(0, w.all_s - t.all_s) + t.no_data_s as unknown_s, c.total, c.good, case when c.ideal_known then c.ideal_s end as ideal_s
    from times t, wanted w, counts c),
  shares as (
    select *, run_s / nullif(planned, 0) as a, ideal_s / nullif(run_s, 0) as e, good::float8 / nullif(total, 0) as q from figures)
  select planned, run_s, planned - run_s, unknown_s, total, good, a, e, q, a * e * q from shares $$;

-- How far each stream is on record. stored = numbers below next_number that no gap record covers.
create view v_stream_progress as
  select r.stream_id, r.epoch || '/' || r.machine || '/' || r.kind as stream, r.epoch, r.machine, r.kind, r.source, r.next_number,
    coalesce(m.missing, 0)::bigint as missing, r.next_number - 1 - coalesce(m.missing, 0)::bigint as stored, coalesce(m.gaps, 0) as gaps, s.first_seen, s.closed_at
  from v_recorded r join stream s on s.id = r.stream_id
  left join lateral (
    select count(*) as gaps, (select sum(upper(one) - lower(one)) from unnest(range_agg(int8range(g.begin_number, least(g.end_number, r.next_number)))) one) as missing
    from gap g where g.of_stream = r.epoch || '/' || r.machine || '/' || r.kind and g.begin_number < least(g.end_number, r.next_number)) m on true;

-- What the store can say of a gateway's own account: numbers sent must be stored or missing with a record.
create view v_reconcile as
  select p.source, p.machine, p.kind, sum(p.next_number - 1)::bigint as numbered, sum(p.stored)::bigint as stored, sum(p.missing)::bigint as missing, sum(p.gaps)::bigint as gaps,
    (select count(*) from gap g where g.machine = p.machine and g.kind = p.kind and g.begin_number is null) as gaps_in_time,
    (select count(*) from quarantine q where q.machine = p.machine) as quarantined
  from v_stream_progress p group by p.source, p.machine, p.kind;

-- Every consumer against the record.
create view v_lag as
  select w.consumer, w.part, w.stream, w.next_number, p.next_number as recorded_next, greatest(0, p.next_number - w.next_number) as behind
  from watermark w join v_stream_progress p on p.stream = w.stream where not exists (select from recorder r where r.name = w.consumer);

grant select on v_gap, v_stream_progress, v_reconcile, v_lag to shinkei_store, shinkei_trace, shinkei_detect, shinkei_alerts, shinkei_ui;
