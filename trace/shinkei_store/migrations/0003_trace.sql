-- Lineage: everything here is projected from event_raw and can be rebuilt from it.
create table unit (
  id bigint generated always as identity primary key,
  ns smallint not null default 0,          -- who gives such numbers: one space a kind
  serial text not null,                    -- serial numbers are text, always
  kind text not null check (kind in ('serial', 'lot', 'container', 'supplier_lot', 'shipment', 'tool', 'program', 'fixture', 'operator_group')),
  item text,
  finished boolean not null default false,
  first_number bigint not null,            -- event_raw number of first sight
  unique (ns, serial)
);
create index unit_serial_prefix on unit (serial text_pattern_ops);

create table event (
  eid uuid not null,
  ts bigint not null,                      -- ended, ns UTC
  unit bigint not null,
  role text not null check (role in ('input', 'output', 'both')),  -- input: it went into something else; both: it was worked on, packed, shipped
  machine text not null,
  op text not null,
  result text not null,
  product text,
  started bigint not null,
  raw_number bigint not null,
  slot text,                               -- of a setup change
  primary key (eid, unit)
);
create index event_unit on event (unit, ts);
create index event_machine on event (machine, ts) include (unit);
create index event_slot on event (machine, slot, ts) where slot is not null;

create table edge (
  src bigint not null, dst bigint not null,
  t_from bigint not null, t_to bigint,
  ev uuid not null, kind text not null check (kind in ('consumed', 'packed', 'shipped', 'relabelled', 'removed')),
  qty double precision not null default 1, certainty double precision not null default 1,
  rec_from bigint not null, rec_to bigint  -- believed from that event_raw number until that one (null: still)
);
create index edge_src on edge (src) include (dst);
create index edge_dst on edge (dst) include (src);
create index edge_relabelled on edge (dst) where kind = 'relabelled';  -- a new name is the same thing: followed both ways
-- PostgreSQL guesses 100 times too few distinct units; with its guess a trace of 9 units took 237 ms instead of 0.19 ms.
alter table edge alter src set (n_distinct = -0.45);
alter table edge alter dst set (n_distinct = -0.45);

create table setup (
  machine text not null, slot text not null, unit bigint not null, t_from bigint not null, t_to bigint, certainty double precision not null default 1,
  ev uuid not null, rec_from bigint not null, rec_to bigint
);
create index setup_unit on setup (unit);
create index setup_machine on setup (machine, slot, t_from);

create table top_closure (ancestor bigint not null, finished_good bigint not null, certainty double precision not null default 1, primary key (ancestor, finished_good));
create index top_closure_good on top_closure (finished_good) include (ancestor);

create table seen (eid uuid primary key, raw_number bigint not null, content uuid not null, corrects uuid);
create index seen_corrects on seen (corrects) where corrects is not null;
create table conflict (eid uuid not null, raw_number bigint not null, first_number bigint not null, primary key (eid, raw_number));
create table finding (raw_number bigint not null, kind text not null, unit text, detail text not null, primary key (raw_number, kind, detail));

create table chain (batch bigint primary key, seq_lo bigint not null, seq_hi bigint not null, n integer not null, merkle_root bytea not null, prev bytea not null, root bytea not null);
create table "case" (id text primary key, title text not null, opened bigint not null, as_of bigint not null, query jsonb not null, closed bigint, actor text);
create table case_item (case_id text not null, unit bigint not null, path jsonb not null default '[]', place text not null default '', status text not null default 'suspect', disposition text, primary key (case_id, unit));
create table trace_position (one boolean primary key default true check (one), number bigint not null);
insert into trace_position values (true, 0);

grant select, insert, update, delete on unit, event, edge, setup, top_closure, seen, conflict, finding, chain, "case", case_item, trace_position to shinkei_trace;
grant truncate on unit, event, edge, setup, top_closure, seen, conflict, finding to shinkei_trace;
grant select on unit, event, edge, setup, top_closure, seen, conflict, finding, chain, "case", case_item, trace_position to shinkei_store, shinkei_detect, shinkei_alerts, shinkei_ui;
