"""An MQTT source in plant.toml: the broker, the session, and what its topics mean. Checked offline."""

from __future__ import annotations

import re
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from shinkei_events.errors import BadConfig
from shinkei_events.settings import Duration
from shinkei_gateway.mqtt.broker_settings import BrokerSettings, check_broker
from shinkei_gateway.mqtt.connection import Retained
from shinkei_gateway.mqtt.formats import Format
from shinkei_gateway.strict import Strict, machine_id

_PLACE = re.compile(r"\{(\d{1,5}|member)\}")
MOST_LEVELS = 65_536
"""Of a topic: its name has at most 65 535 bytes (MQTT 3.1.1, 1.5.3)."""


class TopicMap(Strict, frozen=True):
    """Messages on topics that match ``filter`` are ``as`` facts. ``{n}`` is the topic's n-th level from 0; ``/a/b`` a JSON pointer.

    ``machine`` and ``signal`` are templates. For signals ``time``, ``value`` and ``status`` point into the payload; without
    ``time`` the time of receipt counts, without ``value`` the whole payload is the value. ``zone``: of ISO times that have none.
    ``values``: several signals of one payload, pointer to name. ``members``: every number (or all) in the object at ``value`` is a
    signal, ``{member}`` in ``signal`` its name. States, operations, setups and energy counters are objects in the language's own words.
    """

    filter: str
    as_: Literal["signal", "state", "operation", "setup", "energy"] = msgspec.field(name="as")
    machine: str
    signal: str | None = None
    time: str | None = None
    time_unit: Literal["ns", "us", "ms", "s", "iso"] = "ns"
    value: str | None = None
    status: str | None = None
    format: Format = "json"
    zone: str | None = None
    values: dict[str, str] = {}
    members: Literal["none", "numbers", "all"] = "none"


class MqttSource(BrokerSettings, frozen=True, kw_only=True, tag_field="type", tag="mqtt"):
    """Machines behind an MQTT broker. ``machines``: only these are taken from topics (empty: any, ``max_machines`` at most; what comes of
    more goes to quarantine, because whoever may publish could make machines without end).

    ``queue = "unlimited"`` promises that the broker's queue for this client is unlimited and persistent; otherwise a
    disconnection is a possible gap. ``window``: how many messages back a redelivery is recognised.
    ``retained``: messages that the broker kept are taken at every subscription, at a new one, or left.
    """

    topics: list[TopicMap]
    machines: list[str] = []
    max_machines: int = 1_000
    qos: Literal[0, 1, 2] = 1
    queue: Literal["bounded", "unlimited"] = "bounded"
    retained: Retained = "take"
    window: int = 2_000
    retry: Duration = Duration(5.0)
    lost_after: Duration = Duration(5.0)
    clock_limit: Duration = Duration(5.0)


def check_mqtt(source: MqttSource, where: str) -> None:
    """Raises `BadConfig` with the key below ``where``."""
    check_broker(source, where)
    if source.client == "paho" and source.qos == 2:
        raise BadConfig(f"{where}.qos", 2, 'client = "own": paho confirms a QoS 2 message before it is on disk')
    if source.max_machines < 1:
        raise BadConfig(f"{where}.max_machines", source.max_machines, "at least 1")
    for at, machine in enumerate(source.machines):
        machine_id(f"{where}.machines[{at}]", machine)
    for at, topic in enumerate(source.topics):
        here = f"{where}.topics[{at}]"
        levels = topic.filter.split("/")
        if (
            not topic.filter
            or "#" in levels[:-1]
            or any(len(level) > 1 and ("+" in level or "#" in level) for level in levels)
        ):
            raise BadConfig(f"{here}.filter", topic.filter, "an MQTT topic filter: + is a whole level, # the last")
        if levels[0] in ("$share", "$queue"):
            raise BadConfig(
                f"{here}.filter",
                topic.filter,
                "shared subscriptions are off: they would spread one machine's order over several readers",
            )
        _check_templates(topic, here, levels)
        _check_signals(topic, here)
        if topic.as_ == "signal" and not topic.signal and not topic.values and topic.members == "none":
            raise BadConfig(f"{here}.signal", "", 'the signal\'s name or a template like "{3}"')
        for key in ("time", "value", "status"):
            pointer = getattr(topic, key)
            if pointer is not None and pointer and not pointer.startswith("/"):
                raise BadConfig(f"{here}.{key}", pointer, 'a JSON pointer like "/ts" (or "" for the whole payload)')


def _check_templates(topic: TopicMap, here: str, levels: list[str]) -> None:
    """A level that no topic of the filter has would send every message to quarantine."""
    most = MOST_LEVELS if levels[-1] == "#" else len(levels)
    names = {
        "machine": topic.machine,
        "signal": topic.signal or "",
        **{f"values.{at}": name for at, name in topic.values.items()},
    }
    for key, template in names.items():
        wrong = _PLACE.sub(lambda found: "" if found[1] == "member" or int(found[1]) < most else found[0], template)
        if "{" in wrong or "}" in wrong:
            at = f"{{0}} to {{{most - 1}}}" if most < MOST_LEVELS else "{0}, {1} …"
            raise BadConfig(f"{here}.{key}", template, f"a name, with {at} for the levels of {topic.filter}")


def _check_signals(topic: TopicMap, here: str) -> None:
    if topic.zone is not None:
        try:
            ZoneInfo(topic.zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise BadConfig(f"{here}.zone", topic.zone, 'a time zone of the IANA list like "Asia/Tokyo"') from error
        if topic.time_unit != "iso":
            raise BadConfig(f"{here}.zone", topic.zone, 'goes with time_unit = "iso": numbers are UTC')
    if topic.values and (topic.members != "none" or topic.value is not None):
        raise BadConfig(f"{here}.values", topic.values, "either values, or value (with members)")
    for pointer, name in topic.values.items():
        if not pointer.startswith("/") or not name:
            raise BadConfig(f"{here}.values", {pointer: name}, 'pairs like "/motor/t" = "motor_temperature"')
    if topic.members != "none" and topic.signal is not None and "{member}" not in topic.signal:
        raise BadConfig(f"{here}.signal", topic.signal, "with {member}, which is the name of each")
