-- Ground: roles with the least rights, series helpers, streams, positions, outboxes.
-- One role a part; logins take it by SET ROLE. Everybody may read what views and functions offer; each table has one writer.
do $$
declare part text;
begin
  foreach part in array array['shinkei_store', 'shinkei_trace', 'shinkei_detect', 'shinkei_alerts', 'shinkei_ui'] loop
    if not exists (select from pg_roles where rolname = part) then
      execute format('create role %I nologin', part);
    end if;
    if not pg_has_role(current_user, part, 'member') then
      execute format('grant %I to current_user', part);
    end if;
    execute format('grant usage on schema %I to %I', current_schema(), part);
  end loop;
end $$;

create function to_ts(ns bigint) returns timestamptz language sql immutable strict parallel safe
  as $$ select timestamptz 'epoch' + (ns / 1000) * interval '1 microsecond' $$;
comment on function to_ts(bigint) is 'ns UTC as timestamptz (microseconds; the nanoseconds are kept beside it where they are evidence)';

create function to_ns(ts timestamptz) returns bigint language sql immutable strict parallel safe
  as $$ select (extract(epoch from ts) * 1000000)::bigint * 1000 $$;

-- Series: one helper makes a hypertable where TimescaleDB is there, a range-partitioned table with a default partition elsewhere.
create function engine() returns text language sql stable as $$
  select case when not exists (select from pg_extension where extname = 'timescaledb') then 'plain'
              when current_setting('timescaledb.license', true) = 'apache' then 'apache' else 'tsl' end $$;

create table series (name text primary key, column_name text not null, chunk interval not null);

create function make_series(name text, columns text, column_name text, chunk interval) returns void language plpgsql as $$
begin
  if engine() = 'plain' then
    execute format('create table %I (%s) partition by range (%I)', name, columns, column_name);
    execute format('create table %I partition of %I default', name || '_rest', name);
  else
    execute format('create table %I (%s)', name, columns);
    execute format('select create_hypertable(%L, by_range(%L, interval %L))', name, column_name, chunk);
  end if;
  insert into series values (name, column_name, chunk);
end $$;

create function ensure_partitions(upto timestamptz) returns integer language plpgsql as $$
declare
  one record; begins timestamptz; child text; made integer := 0;
begin
  if engine() <> 'plain' then return 0; end if;
  for one in select * from series loop
    begins := date_bin(one.chunk, now(), timestamptz '2020-01-06 00:00+00');
    while begins < upto loop
      child := one.name || to_char(begins at time zone 'UTC', '"_p"YYYYMMDDHH24');
      if to_regclass(child) is null then
        begin
          execute format('create table %I partition of %I for values from (%L) to (%L)', child, one.name, begins, begins + one.chunk);
          made := made + 1;
        exception when check_violation then
          null;  -- the default partition has rows of that time already: they stay there
        end;
      end if;
      begins := begins + one.chunk;
    end loop;
  end loop;
  return made;
end $$;

create function drop_older(series_name text, cut timestamptz) returns integer language plpgsql as $$
declare one record; gone integer := 0; column_of text;
begin
  select s.column_name into column_of from series s where s.name = series_name;
  if engine() <> 'plain' then
    perform drop_chunks(series_name::regclass, older_than => cut);
    return 0;
  end if;
  for one in select c.relname, pg_get_expr(c.relpartbound, c.oid) as bound
             from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = series_name::regclass loop
    if one.bound ~ 'TO' and (regexp_match(one.bound, $re$TO \('([^']+)'\)$re$))[1]::timestamptz <= cut then
      execute format('drop table %I', one.relname);
      gone := gone + 1;
    end if;
  end loop;
  execute format('delete from %I where %I < $1', series_name || '_rest', column_of) using cut;
  return gone;
end $$;

-- Streams, in the order in which the recorder met them.
create table stream (
  id integer generated always as identity primary key,
  epoch uuid not null,
  machine text not null,
  kind text not null check (kind in ('signals', 'production', 'history', 'quarantine')),
  source text not null,                    -- gateway/<id>/<shard>: who sends it again
  first_seen timestamptz not null default now(),
  closed_at timestamptz,
  unique (epoch, machine, kind)
);

-- Recorders of this database (usually one); their watermarks are "what is recorded".
create table recorder (name text primary key);

create table watermark (
  consumer text not null,
  stream text not null,                    -- epoch/machine/kind
  next_number bigint not null check (next_number >= 1),
  primary key (consumer, stream)
) with (fillfactor = 50);

create table fence (
  consumer text not null,
  log_id text not null,
  topic text not null,
  "partition" integer not null,
  position bigint not null,
  token bigint not null,
  moved timestamptz not null default now(),
  primary key (consumer, log_id, topic, "partition")
) with (fillfactor = 50);

-- What a consumer could not read, with its bytes.
create table refused (
  consumer text not null,
  log_id text not null,
  topic text not null,
  "partition" integer not null,
  position bigint not null,
  key text,
  reason text not null,
  headers text not null,
  raw bytea not null,
  recorded timestamptz not null default now(),
  primary key (consumer, log_id, topic, "partition", position)
);

-- One outbox for all parts, one relay a part; ids are unique within a part.
create sequence outbox_number;
create table outbox (
  part text not null,
  number bigint not null default nextval('outbox_number'),
  id text not null,
  topic text not null,
  key text not null,
  type text not null,
  source text not null,
  headers text not null,
  body bytea not null,
  created timestamptz not null default now(),
  sent_at timestamptz,
  primary key (part, id)
);
create index outbox_unsent on outbox (part, number) where sent_at is null;
create index outbox_in_order on outbox (part, number);

alter table watermark enable row level security;
alter table fence enable row level security;
alter table outbox enable row level security;
do $$
declare part text;
begin
  foreach part in array array['shinkei_store', 'shinkei_trace', 'shinkei_detect', 'shinkei_alerts', 'shinkei_ui'] loop
    execute format('grant select, insert, update on watermark, fence to %I', part);
    execute format('grant select, insert on refused to %I', part);
    execute format('grant select, insert, update, delete on outbox to %I', part);
    execute format('grant usage on sequence outbox_number to %I', part);
    execute format('grant select on stream, recorder, series to %I', part);
    -- a part writes its own rows; everybody reads all (sweeps read a producer's outbox)
    execute format('create policy %I on outbox for all to %I using (true) with check (part = %L)', part || '_own', part, substr(part, 9));
    execute format('create policy %I on watermark for all to %I using (true)', part || '_all', part);
    execute format('create policy %I on fence for all to %I using (true)', part || '_all', part);
  end loop;
end $$;
grant insert, update on stream, recorder to shinkei_store;
