"""The gateway: what machines say, numbered, spooled to disk and forwarded to the log."""
