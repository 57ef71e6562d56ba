"""What could not be understood, with its bytes."""

from __future__ import annotations

from shinkei_events.model.numbered import Numbered


class Quarantined(Numbered, frozen=True, kw_only=True, omit_defaults=True):
    """``raw`` came from ``source`` at ``where`` (node, topic, file and line) and was refused for ``reason``.

    ``path``: the field that was wrong. ``size`` is the whole length when ``raw`` is only the head; then ``sha256`` names the file.
    """

    source: str
    where: str
    reason: str
    raw: bytes
    path: str | None = None
    content_type: str = "application/octet-stream"
    size: int | None = None
    sha256: str | None = None

    @property
    def reference(self) -> str:
        """How a replay points at this record (``replay_of``)."""
        return f"{self.stream}/{self.number}"
