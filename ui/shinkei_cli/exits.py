"""Exit codes of every command."""

DONE = 0
"""The command did what it was asked."""
FAILED = 1
"""The answer is no, or it could not be done."""
WRONG_USE = 2
"""Wrong use or bad configuration."""
NOT_THERE = 3
"""A peer (log, database, machine) is not there."""
INTERRUPTED = 130
"""Ended by Ctrl-C."""
