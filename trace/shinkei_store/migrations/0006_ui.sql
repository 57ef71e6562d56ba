-- Screens: users and sessions; names of people live in `person` alone, which can be emptied.
create table person (actor text primary key, name text not null, since timestamptz not null default now());
create table ui_user (actor text primary key, role text not null default 'viewer', secret text, created timestamptz not null default now());
create table session (token_sha256 bytea primary key, actor text not null, started timestamptz not null default now(), expires timestamptz not null);
create table note (id text primary key, subject text not null, actor text not null, time bigint not null, text text not null);
create table saved_view (actor text not null, name text not null, query jsonb not null, primary key (actor, name));
grant select, insert, update, delete on person, ui_user, session, note, saved_view to shinkei_ui;
