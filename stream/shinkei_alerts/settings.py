"""The section ``[alerts]`` of plant.toml."""

from __future__ import annotations

import msgspec

from shinkei_events.model.alarm import Priority
from shinkei_events.settings import Duration, Secret

LEAST_SILENCE_S = 15.0


class Target(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where pages go: an Apprise URL (``secret`` when it holds a password), or ``file:PATH`` in the site's folder."""

    name: str
    url: str | None = None
    secret: Secret | None = None
    priorities: tuple[Priority, ...] = ("P1", "P2")
    language: str | None = None

    def __post_init__(self) -> None:
        if (self.url is None) == (self.secret is None):
            raise ValueError(f"target {self.name} needs either url or secret")


class AlertsSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``targets``: none given: pages go to ``pages.jsonl`` in the site's folder. ``timeout``: how long a target may take to answer.

    ``gateway_silent``: a gateway that says nothing on the log for so long is an alarm, one for all its machines.
    ``give_up``: after this long a page that cannot be handed over is dead and shown red. ``senders``: pages on their way at once.
    """

    http: str = "127.0.0.1:0"
    worker: str = "1"
    targets: tuple[Target, ...] = (Target(name="inbox", url="file:pages.jsonl", priorities=("P1", "P2", "P3")),)
    senders: int = 2
    give_up: Duration = Duration(86_400.0)
    timeout: Duration = Duration(10.0)
    gateway_silent: Duration = Duration(60.0)

    def __post_init__(self) -> None:
        names = [target.name for target in self.targets]
        if len(set(names)) != len(names):
            raise ValueError("two targets have one name")
        if not 1 <= self.senders <= 16:
            raise ValueError("senders is between 1 and 16")
        if self.gateway_silent < LEAST_SILENCE_S:
            raise ValueError(f"gateway_silent is at least {LEAST_SILENCE_S:g} s: a gateway speaks every 5 s")
