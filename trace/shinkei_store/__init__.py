"""The record: PostgreSQL, migrations, the recorder, and the runtime of consumers that write to it."""
