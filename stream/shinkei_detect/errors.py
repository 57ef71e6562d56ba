"""The detector's own errors; see the tree in `shinkei_events.errors`."""

from __future__ import annotations

from shinkei_events.errors import ShinkeiError


class SnapshotRefused(ShinkeiError):
    """A snapshot does not fit this program or is damaged; learn again from the record."""

    def __init__(self, stream: str, what: str, found: object, wanted: object) -> None:
        self.stream, self.what = stream, what
        super().__init__(
            f"snapshot of {stream}: {what} is {found!r}, not {wanted!r}; its models are learned again from the record"
        )


class BadRecording(ShinkeiError):
    """A recording is not a table of one time column and signals; the message names file and line."""
