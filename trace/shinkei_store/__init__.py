"""The store: PostgreSQL or TimescaleDB behind all parts, its schema, and the server that is embedded where the plant has none.

Everything that remembers goes through here; nothing here talks to machines or pages people. Modules: `embedded` (our own server),
`pool` (connections), `migrate` (the schema), `series` (partitions), `recorder` and `follower` (pure: what is taken from the log).
"""
