-- Detection: the state that holds per anomaly, every revision, model snapshots with the watermark they include, SPC.
create table anomaly (
  id text primary key, revision integer not null, phase text not null, finding text not null, rule text not null,
  machine text not null, stream text not null, first bigint not null, last bigint not null,
  began bigint not null, ended bigint, score double precision not null, peak double precision not null, body jsonb not null
);
create index anomaly_machine on anomaly (machine, began);
create index anomaly_open on anomaly (machine) where phase <> 'closed';
create table anomaly_event (id text not null, revision integer not null, time bigint not null, body jsonb not null, primary key (id, revision));
create table model_snapshot (
  machine text not null, stream text not null, kind text not null default 'machine', next_number bigint not null, version text not null, sha256 text not null,
  blob bytea not null, made timestamptz not null default now(),
  primary key (machine, stream, kind)
);
alter table model_snapshot alter blob set storage external;
create table spc_limit (characteristic text not null, product text not null default '', version integer not null, valid_from bigint not null, centre double precision not null, lower double precision, upper double precision, primary key (characteristic, product, version));
create table spc_point (characteristic text not null, machine text not null, product text not null default '', time bigint not null, operation_id text not null, value double precision not null, primary key (characteristic, machine, time, operation_id));
create table spc_hit (id text primary key, characteristic text not null, machine text not null, time bigint not null, body jsonb not null);
grant select, insert, update, delete on anomaly, anomaly_event, model_snapshot, spc_limit, spc_point, spc_hit to shinkei_detect;
grant select on anomaly, anomaly_event, spc_limit, spc_point, spc_hit to shinkei_store, shinkei_trace, shinkei_alerts, shinkei_ui;
