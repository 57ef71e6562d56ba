-- What the source made of a signal: how often it is sampled, how long its queue is, and what the instrument can measure.
alter table signal
  add column sampling_ms double precision,
  add column queue_size integer,
  add column instrument_low double precision,
  add column instrument_high double precision;
comment on table signal is 'each signal of a machine as its source last described it; described: when (ns UTC), null: never';
comment on column signal.unece is 'code of UN/CEFACT recommendation 20';
comment on column signal.low is 'EURange: what the value normally is within, with high';
