"""The `shinkei` command: every part's commands, the supervisor that runs all parts on one machine, and the demo."""
