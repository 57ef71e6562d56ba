"""The event types of Shinkei, one module per subject; frozen structs are the single source of truth for every schema."""
