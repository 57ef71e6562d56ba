"""Where two shards would hear the same MQTT message about the same machine: each stream has one writer and one order. Pure.

`settings` refuses two shards that name one machine; here are machines that only topics name, so that only topics show it. Called by
`shinkei check`, offline.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

from shinkei_gateway.mqtt.settings import MqttSource
from shinkei_gateway.settings import GatewaySettings, Source, shard_of, sources_of
from shinkei_gateway.sparkplug.settings import SparkplugSource
from shinkei_gateway.sparkplug.topic import filters


def shared_topics(settings: GatewaySettings) -> dict[str, str]:
    """By source, what it hears that a source of another shard hears too, and would give to the same machine; a sentence."""
    sources = sources_of(settings)
    found: dict[str, str] = {}
    for (name, one), (other, two) in combinations(sources.items(), 2):
        if shard_of(settings, one) == shard_of(settings, two) or _url(one) != _url(two):
            continue
        clash = next((c for a in _heard(one) for b in _heard(two) if (c := _clash(*a, *b))), None)
        if clash is not None:
            found[other] = (
                f"{clash} comes to shard {shard_of(settings, two)} and, by source {name}, to shard {shard_of(settings, one)}: "
                "both would write that machine's streams; put the sources into one shard or part their topics"
            )
    return found


def meet(one: str, two: str) -> list[str] | None:
    """The levels of topics that match both filters (MQTT 3.1.1, 4.7.1), ``+`` and ``#`` where any will do; None when none does."""
    a, b = one.split("/"), two.split("/")
    levels: list[str] = []
    for at in range(max(len(a), len(b))):
        left, right = _level(a, at), _level(b, at)
        if left is None or right is None:  # one ends here; "x/#" matches "x" as well
            return levels if (left or right) == "#" else None
        if left == "#" or right == "#":
            return [*levels, *(b[at:] if left == "#" else a[at:])]
        if left != right and "+" not in (left, right):
            return None
        levels.append(right if left == "+" else left)
    return levels


def _level(levels: list[str], at: int) -> str | None:
    return levels[at] if at < len(levels) else None


def _url(source: Source) -> str | None:
    return source.url if isinstance(source, MqttSource | SparkplugSource) else None


def _heard(source: Source) -> list[tuple[str, str]]:
    """Filters, and the template of the machine that their messages are about."""
    if isinstance(source, MqttSource):
        return [(topic.filter, topic.machine) for topic in source.topics]
    if isinstance(source, SparkplugSource):
        return [(each, f"{source.machine} {source.node_machine}") for each in filters(source.group_ids, source.nodes)]
    return []


def _clash(filter_a: str, machine_a: str, filter_b: str, machine_b: str) -> str | None:
    levels = meet(filter_a, filter_b)
    if levels is None:
        return None
    fixed = {f"{{{at}}}": level for at, level in enumerate(levels) if level not in ("+", "#")}
    return "/".join(levels) if _filled(machine_a, fixed) == _filled(machine_b, fixed) else None


def _filled(template: str, levels: Mapping[str, str]) -> str:
    for place, level in levels.items():
        template = template.replace(place, level)
    return template
