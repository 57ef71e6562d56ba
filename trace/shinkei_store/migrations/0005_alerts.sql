-- Alarms after ISA-18.2: one open alarm per condition, every transition append-only, deliveries with a stable key per page.
create table alarm (
  id text primary key, dedup_key text not null, condition text not null, machine text not null, line text, component text not null default '',
  priority text not null, state text not null, occurrence integer not null default 1, revision integer not null default 1,
  since bigint not null, active_since bigint, returned_at bigint, acknowledged_at bigint, acknowledged_by text, acknowledged_occurrence integer not null default 0,
  shelved_until bigint, closed_at bigint, active_causes jsonb not null default '[]',
  text jsonb not null default '{}', causes jsonb not null default '[]'
);
create unique index alarm_one_open on alarm (dedup_key) where closed_at is null;
create index alarm_since on alarm (since);
create table alarm_event (
  alarm text not null, revision integer not null, transition text not null, state text not null, occurrence integer not null, time bigint not null,
  actor text, comment text, body jsonb not null, recorded timestamptz not null default now(), primary key (alarm, revision)
);
create table alarm_cause (alarm text not null, kind text not null, id text not null, occurrence integer not null, primary key (alarm, kind, id));
create index alarm_cause_id on alarm_cause (id);
create table alarm_input (id text primary key, revision integer not null default 0, taken timestamptz not null default now());  -- anomalies and decisions whose effect is stored
create table delivery (
  page text primary key, alarm text not null, occurrence integer not null, target text not null, priority text not null,
  due_at timestamptz not null default now(), attempts integer not null default 0, state text not null default 'due' check (state in ('due', 'sent', 'dead', 'cancelled')),
  handed_over timestamptz, last_error text, body jsonb not null, created timestamptz not null default now()
);
create index delivery_due on delivery (due_at) where state = 'due';
create table rota (name text primary key, ical text not null, updated timestamptz not null default now());
create table alert_timer (key text primary key, due bigint not null, body jsonb not null);
create view v_open_alarm as select * from alarm where closed_at is null;
grant select, insert, update, delete on alarm, alarm_event, alarm_cause, alarm_input, delivery, rota, alert_timer to shinkei_alerts;
grant select on v_open_alarm to shinkei_alerts;
grant select on alarm, alarm_event, alarm_cause, delivery, rota, v_open_alarm to shinkei_store, shinkei_trace, shinkei_detect, shinkei_ui;
