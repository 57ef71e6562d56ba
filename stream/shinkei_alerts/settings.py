"""The section ``[alerts]`` of plant.toml."""

from __future__ import annotations

import msgspec

from shinkei_events.model.alarm import Priority
from shinkei_events.settings import Duration, Secret


class Target(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where pages go: an Apprise URL (``secret`` when it holds a password), or ``file:PATH`` in the site's folder."""

    name: str
    url: str | None = None
    secret: Secret | None = None
    priorities: tuple[Priority, ...] = ("P1", "P2")
    language: str | None = None


class AlertsSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``give_up``: after this long a page that cannot be handed over is dead and shown red."""

    http: str = "127.0.0.1:0"
    worker: str = "1"
    targets: tuple[Target, ...] = ()
    give_up: Duration = Duration(86_400.0)
    timeout: Duration = Duration(10.0)
