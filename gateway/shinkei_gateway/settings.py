"""The gateway's section of plant.toml: where machines are and how what they say maps to the language.

Checking is not connecting: everything here works offline, and every error names its key. Defaults are inherited by merging:
``[gateway.defaults.opcua]`` goes under every source of that type before it is decoded. `sources_of` gives the checked sources. What a
source of each protocol may say is in ``<protocol>/settings.py``.
"""

from __future__ import annotations

from typing import Any, Literal
from urllib.parse import urlsplit

from shinkei_events.errors import BadConfig
from shinkei_events.settings import Duration, Size, strict
from shinkei_gateway.mqtt.settings import MqttSource, check_mqtt
from shinkei_gateway.opcua.settings import OpcuaSource, check_opcua
from shinkei_gateway.sparkplug.settings import SparkplugSource, check_sparkplug
from shinkei_gateway.strict import SourceSettings, Strict, machine_id


class SpoolSettings(Strict, frozen=True):
    """What waits on disk. ``keep_until`` None: ``stored`` on the embedded log, ``sent`` on Kafka. ``keep_after``: at least this long."""

    max_bytes: Size = Size(2_000_000_000)
    keep_until: Literal["stored", "sent"] | None = None
    keep_after: Duration = Duration(48 * 3600.0)
    on_full: Literal["block", "drop_oldest"] = "block"


class FileSource(SourceSettings, frozen=True, kw_only=True, tag_field="type", tag="file"):
    """A recording (JSON lines, perhaps zstd), read once into the machines' history streams; relative to the site's folder."""

    path: str
    backlog: int = 20_000


_MEMBERS = ("signals", "topics")
"""What a group may have as members."""

Source = OpcuaSource | MqttSource | SparkplugSource | FileSource


class GatewaySettings(Strict, frozen=True):
    """``id`` is unique in the company. ``defaults``: per type of source. ``sources``: by name; use `sources_of`.

    ``shard``: of the sources that name none. ``writers``: how many processes, of all gateways, share the embedded log's credit
    (0: the shards of this file). ``issuers``: parts that may ask this gateway for something on the log.
    """

    id: str
    shard: str = "0"
    frame_age: Duration = Duration(0.1)
    http: str = "127.0.0.1:0"
    writers: int = 0
    issuers: tuple[str, ...] = ("cli", "ui", "store")
    spool: SpoolSettings = SpoolSettings()
    defaults: dict[Literal["opcua", "mqtt", "sparkplug", "file"], dict[str, Any]] = {}
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
        source: Source = strict(_with_groups(merged, where), Source, where)  # type: ignore[arg-type]
        if source.shard:
            machine_id(f"{where}.shard", source.shard)
        if isinstance(source, OpcuaSource):
            check_opcua(source, where)
        elif isinstance(source, MqttSource):
            check_mqtt(source, where)
        elif isinstance(source, SparkplugSource):
            check_sparkplug(source, where)
        found[name] = source
    _one_shard_a_machine(settings, found)
    _one_name_at_a_broker(found)
    if 0 < settings.writers < (shards := len({shard_of(settings, source) for source in found.values()})):
        raise BadConfig(
            "gateway.writers", settings.writers, f"this file alone has {shards} shards; leave it out or count all"
        )
    return found


def shard_of(settings: GatewaySettings, source: Source) -> str:
    """The shard that runs ``source``."""
    return source.shard or settings.shard


def shards_of(settings: GatewaySettings) -> list[str]:
    """All shards of this gateway: its own first, then those that sources name, sorted."""
    named = {shard_of(settings, source) for source in sources_of(settings).values()}
    return [settings.shard, *sorted(named - {settings.shard})]


def in_shard(settings: GatewaySettings, shard: str) -> dict[str, Source]:
    """The sources that ``shard`` runs."""
    return {name: source for name, source in sources_of(settings).items() if shard_of(settings, source) == shard}


def machines_of(source: Source) -> list[str]:
    """The machines that ``source`` names in the file; what comes by topics or lines is known only when it comes."""
    if isinstance(source, OpcuaSource):
        return [source.machine]
    if isinstance(source, MqttSource):
        fixed = [topic.machine for topic in source.topics if "{" not in topic.machine]
        return sorted({*source.machines, *fixed})
    if isinstance(source, SparkplugSource):
        fixed = [name for name in (source.machine, source.node_machine) if "{" not in name]
        return sorted({*source.machines.values(), *fixed})
    return []


def names_all(source: Source) -> bool:
    """Whether no machine can come from ``source`` but those of `machines_of`: topics and births may name machines that the file does not."""
    if isinstance(source, MqttSource):
        return bool(source.machines) or all("{" not in topic.machine for topic in source.topics)
    if isinstance(source, SparkplugSource):
        return all("{" not in name for name in (source.machine, source.node_machine))
    return isinstance(source, OpcuaSource)


def _one_shard_a_machine(settings: GatewaySettings, sources: dict[str, Source]) -> None:
    """Raises `BadConfig` when two shards would write streams of one machine: each stream has one writer and one order."""
    owners: dict[str, tuple[str, str]] = {}
    for name, source in sources.items():
        shard = shard_of(settings, source)
        for machine in machines_of(source):
            other, where = owners.setdefault(machine, (shard, name))
            if other != shard:
                hint = f"machine {machine} is in shard {other} by source {where}: all sources of a machine sit in one shard"
                raise BadConfig(f"gateway.sources.{name}.shard", shard, hint)


def _one_name_at_a_broker(sources: dict[str, Source]) -> None:
    """Raises `BadConfig` when two sources have one name at a broker: it ends the elder connection of a client id at each new one (MQTT 5, 3.1.4),
    and keeps one STATE for a Sparkplug host id (tck-id-operational-behavior-host-application-host-id).
    """
    owners: dict[tuple[object, ...], str] = {}
    for name, source in sources.items():
        if not isinstance(source, MqttSource | SparkplugSource):
            continue
        at = urlsplit(source.url)
        host_id = source.host_id if isinstance(source, SparkplugSource) else None
        for key, value in (("client_id", source.client_id), ("host_id", host_id)):
            other = owners.setdefault((key, at.hostname, at.port, value), name)
            if value is not None and other != name:
                raise BadConfig(
                    f"gateway.sources.{name}.{key}",
                    value,
                    f"source {other} has it at the same broker: they would end each other",
                )


def _with_groups(raw: dict[str, Any], where: str) -> dict[str, Any]:
    """``raw`` with its groups spread out: each signal (or topic) of a group has the group's keys where it says nothing itself.

    ``groups.<name>.signals`` are the members; all other keys of a group are their defaults.
    """
    if "groups" not in raw:
        return raw
    spread = {key: value for key, value in raw.items() if key != "groups"}
    groups = raw["groups"]
    if not isinstance(groups, dict) or not all(isinstance(group, dict) for group in groups.values()):
        raise BadConfig(f"{where}.groups", "…", f"tables with a name each, like [{where}.groups.slow]")
    for name, group in groups.items():
        defaults = {key: value for key, value in group.items() if key not in _MEMBERS}
        found = [key for key in _MEMBERS if key in group]
        if not found:
            raise BadConfig(f"{where}.groups.{name}", "", f"has no members; give it {' or '.join(_MEMBERS)}")
        for key in found:
            if not isinstance(group[key], list) or not all(isinstance(member, dict) for member in group[key]):
                raise BadConfig(f"{where}.groups.{name}.{key}", "…", "a list of tables")
            spread[key] = [*spread.get(key, []), *(defaults | member for member in group[key])]
    return spread
