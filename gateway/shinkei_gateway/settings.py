"""The gateway's section of plant.toml: where machines are and how what they say maps to the language.

Checking is not connecting: everything here works offline, and every error names its key. Defaults are inherited by merging:
``[gateway.defaults.opcua]`` goes under every source of that type before it is decoded. `sources_of` gives the checked sources. What a
source of each protocol may say is in ``<protocol>/settings.py``.
"""

from __future__ import annotations

from typing import Any, Literal

from shinkei_events.settings import Duration, Size, strict
from shinkei_gateway.mqtt.settings import MqttSource, check_mqtt
from shinkei_gateway.opcua.settings import OpcuaSource, check_opcua
from shinkei_gateway.strict import Strict, machine_id


class SpoolSettings(Strict, frozen=True):
    """What waits on disk. ``keep_until`` None: ``stored`` on the embedded log, ``sent`` on Kafka. ``keep_after``: at least this long."""

    max_bytes: Size = Size(2_000_000_000)
    keep_until: Literal["stored", "sent"] | None = None
    keep_after: Duration = Duration(0.0)
    on_full: Literal["block"] = "block"


class FileSource(Strict, frozen=True, tag_field="type", tag="file"):
    """A recording (JSON lines, perhaps zstd), read once into the machines' history streams; relative to the site's folder."""

    path: str
    backlog: int = 20_000


Source = OpcuaSource | MqttSource | FileSource


class GatewaySettings(Strict, frozen=True):
    """``id`` is unique in the company. ``defaults``: per type of source. ``sources``: by name; use `sources_of`."""

    id: str
    shard: str = "0"
    frame_age: Duration = Duration(0.1)
    http: str = "127.0.0.1:0"
    writers: int = 1
    spool: SpoolSettings = SpoolSettings()
    defaults: dict[Literal["opcua", "mqtt", "file"], dict[str, Any]] = {}
    sources: dict[str, dict[str, Any]] = {}

    def __post_init__(self) -> None:
        sources_of(self)


def sources_of(settings: GatewaySettings) -> dict[str, Source]:
    """The sources by name, defaults filled in; raises `BadConfig` with the dotted key of what is wrong."""
    machine_id("gateway.id", settings.id)
    machine_id("gateway.shard", settings.shard)
    found: dict[str, Source] = {}
    for name, raw in settings.sources.items():
        where = f"gateway.sources.{name}"
        machine_id(where, name)
        kind = raw.get("type")
        merged = settings.defaults.get(kind, {}) | raw if isinstance(kind, str) else raw  # type: ignore[call-overload]
        source: Source = strict(merged, Source, where)  # type: ignore[arg-type]
        if isinstance(source, OpcuaSource):
            check_opcua(source, where)
        elif isinstance(source, MqttSource):
            check_mqtt(source, where)
        found[name] = source
    return found
