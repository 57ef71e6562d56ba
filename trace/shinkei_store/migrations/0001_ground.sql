-- Ground: roles with the least rights, series, streams, positions, outboxes.
-- Times are timestamptz where people ask, and ns UTC (bigint) wherever they are evidence.

-- One role a part, without login; a part's connection takes it by SET ROLE. Roles belong to the whole server, so they may be there already.
-- PostgreSQL 16 and later give the maker of a role the right to grant it, but not to take it: that is granted here.
do $$
declare
  part text;
  takes text := case when current_setting('server_version_num')::int >= 160000 then 'SET' else 'MEMBER' end;
begin
  foreach part in array array['shinkei_store', 'shinkei_trace', 'shinkei_detect', 'shinkei_alerts', 'shinkei_ui'] loop
    begin
      if not exists (select from pg_roles where rolname = part) then
        execute format('create role %I nologin', part);
      end if;
      if not pg_has_role(current_user, part, takes) then
        execute format('grant %I to current_user', part);
      end if;
    exception when insufficient_privilege then
      raise exception 'the login % may neither make nor take the role %', current_user, part
        using hint = format('let an administrator run: create role %I nologin; grant %I to %I', part, part, current_user);
    end;
    execute format('grant usage on schema %I to %I', current_schema(), part);
  end loop;
end $$;

create function current_part() returns text language sql stable parallel safe
  as $$ select coalesce(substring(current_user from '^shinkei_([a-z]+)$'), 'owner') $$;
comment on function current_part() is 'the part whose role this connection has taken';

create function to_ts(ns bigint) returns timestamptz language sql immutable strict parallel safe
  as $$ select to_timestamp((ns / 1000)::double precision / 1e6) $$;
comment on function to_ts(bigint) is 'ns UTC as timestamptz, cut to microseconds (exact until the year 2255)';

create function to_ns(ts timestamptz) returns bigint language sql stable strict parallel safe
  as $$ select (extract(epoch from ts) * 1000000)::bigint * 1000 $$;

-- Series: tables that grow with time. A hypertable where TimescaleDB is there, else a range-partitioned table. A native table can't become
-- a hypertable in place, so what holds at the first migration stays. TimescaleDB is never installed from here: its licence is the plant's choice.
create function engine() returns text language sql stable as $$
  select case when not exists (select from pg_extension where extname = 'timescaledb') then 'plain'
              when current_setting('timescaledb.license', true) = 'apache' then 'apache' else 'tsl' end $$;

create table series (name text primary key, column_name text not null, chunk interval not null, engine text not null);

-- columns: the column list; segment: by which column the columnstore is cut, null for a series that is never made columnar.
create function make_series(name text, columns text, column_name text, chunk interval, segment text default null) returns void language plpgsql as $$
begin
  if engine() = 'plain' then
    execute format('create table %I (%s) partition by range (%I)', name, columns, column_name);
    execute format('create table %I partition of %I default', name || '_rest', name);
  else
    if (select string_to_array(extversion, '.')::text[] from pg_extension where extname = 'timescaledb')[1:2]::int[] < array[2, 20] then
      raise exception 'TimescaleDB is older than 2.20, which answered wrongly for rows in compressed chunks; update the extension';
    end if;
    execute format('create table %I (%s)', name, columns);
    execute format('select create_hypertable(%L::regclass, by_range(%L, %L::interval), create_default_indexes => false)', name, column_name, chunk);
    if engine() = 'tsl' and segment is not null then
      execute format('alter table %I set (timescaledb.compress, timescaledb.compress_segmentby = %L, timescaledb.compress_orderby = %L)',
                     name, segment, column_name);
      execute format('select add_compression_policy(%L::regclass, %L::interval)', name, greatest(chunk, interval '7 days'));
    end if;
  end if;
  insert into series values (name, column_name, chunk, engine());
end $$;

-- Partitions for since … upto of every series (a day of 4 series: 20 ms; nothing to do: 1 ms). What the default partition holds of that time moves.
-- Runs with the owner's rights: a part may not make tables by itself.
create function ensure_partitions(upto timestamptz, since timestamptz default now()) returns integer
language plpgsql security definer set search_path = shinkei, public, pg_temp as $$
declare
  one record; begins timestamptz; child text; made integer := 0;
begin
  if upto - since > interval '20 years' then raise exception 'partitions for % … % are not plausible', since, upto; end if;
  for one in select * from series where engine = 'plain' loop
    begins := date_bin(one.chunk, since, timestamptz '2020-01-06 00:00+00');
    while begins < upto loop
      child := one.name || to_char(begins at time zone 'UTC', '"_p"YYYYMMDDHH24');
      if to_regclass(child) is null then
        perform pg_advisory_xact_lock(hashtext('shinkei.ensure_partitions'));
        if to_regclass(child) is null then
          execute format('create table %I (like %I including defaults including constraints including storage)', child, one.name);
          execute format('with moved as (delete from %I where %I >= %L and %2$I < %4$L returning *) insert into %5$I select * from moved',
                         one.name || '_rest', one.column_name, begins, begins + one.chunk, child);
          execute format('alter table %I attach partition %I for values from (%L) to (%L)', one.name, child, begins, begins + one.chunk);
          made := made + 1;
        end if;
      end if;
      begins := begins + one.chunk;
    end loop;
  end loop;
  return made;
end $$;

-- Drop what is wholly before cut; returns how many partitions went. 0.03 s a chunk against 5 s and bloat for DELETE.
create function drop_older(series_name text, cut timestamptz) returns integer
language plpgsql security definer set search_path = shinkei, public, pg_temp as $$
declare
  one record; gone integer := 0; of_series series;
begin
  select * into of_series from series s where s.name = series_name;
  if not found then raise exception '% is not a series', series_name; end if;
  if of_series.engine <> 'plain' then
    execute format('select count(*) from drop_chunks(%L::regclass, older_than => %L::timestamptz)', series_name, cut) into gone;
    return gone;
  end if;
  for one in select c.relname, (regexp_match(pg_get_expr(c.relpartbound, c.oid), $re$TO \('([^']+)'\)$re$))[1]::timestamptz as ends
             from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = series_name::regclass loop
    if one.ends <= cut then
      execute format('drop table %I', one.relname);
      gone := gone + 1;
    end if;
  end loop;
  execute format('delete from %I where %I < $1', series_name || '_rest', of_series.column_name) using cut;
  return gone;
end $$;
revoke execute on function make_series(text, text, text, interval, text), ensure_partitions(timestamptz, timestamptz), drop_older(text, timestamptz) from public;
grant execute on function ensure_partitions(timestamptz, timestamptz), drop_older(text, timestamptz) to shinkei_store;

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

-- Positions. Each part moves its own, by compare-and-set, in the transaction of its rows; everybody may look.
create table watermark (
  consumer text not null,
  stream text not null,                    -- epoch/machine/kind
  next_number bigint not null check (next_number >= 1),
  part text not null default current_part(),
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
  part text not null default current_part(),
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
  part text not null default current_part(),
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

-- Rows of shared tables are their part's own: read by all (a sweep reads a producer's outbox), written by one.
do $$
declare shared text;
begin
  foreach shared in array array['watermark', 'fence', 'refused', 'outbox'] loop
    execute format('alter table %I enable row level security', shared);
    execute format('create policy read_all on %I for select using (true)', shared);
    execute format('create policy add_own on %I for insert with check (part = (select current_part()))', shared);
    execute format('create policy move_own on %I for update using (part = (select current_part())) with check (part = (select current_part()))', shared);
    execute format('create policy remove_own on %I for delete using (part = (select current_part()))', shared);
  end loop;
end $$;
grant select, insert, update on watermark, fence to shinkei_store, shinkei_trace, shinkei_detect, shinkei_alerts, shinkei_ui;
grant select, insert, delete on refused to shinkei_store, shinkei_trace, shinkei_detect, shinkei_alerts, shinkei_ui;
grant select, insert, update, delete on outbox to shinkei_store, shinkei_trace, shinkei_detect, shinkei_alerts, shinkei_ui;
grant usage on sequence outbox_number to shinkei_store, shinkei_trace, shinkei_detect, shinkei_alerts, shinkei_ui;
grant select on stream, recorder, series, migration to shinkei_store, shinkei_trace, shinkei_detect, shinkei_alerts, shinkei_ui;
grant insert, update on stream, recorder to shinkei_store;
