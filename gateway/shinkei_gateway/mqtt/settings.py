"""An MQTT source in plant.toml: the broker, the session, and what its topics mean. Checked offline."""

from __future__ import annotations

from typing import Literal

import msgspec

from shinkei_events.errors import BadConfig
from shinkei_events.settings import Duration
from shinkei_gateway.mqtt.broker_settings import BrokerSettings, check_broker
from shinkei_gateway.strict import Strict, machine_id


class TopicMap(Strict, frozen=True):
    """Messages on topics that match ``filter`` are ``as`` facts. ``{n}`` is the topic's n-th level from 0; ``/a/b`` a JSON pointer.

    ``machine`` and ``signal`` are templates. For signals ``time``, ``value`` and ``status`` point into the payload; without
    ``time`` the time of receipt counts, without ``value`` the whole payload is the value. States, operations, setups and
    energy counters are objects in the language's own words.
    """

    filter: str
    as_: Literal["signal", "state", "operation", "setup", "energy"] = msgspec.field(name="as")
    machine: str
    signal: str | None = None
    time: str | None = None
    time_unit: Literal["ns", "us", "ms", "s", "iso"] = "ns"
    value: str | None = None
    status: str | None = None


class MqttSource(BrokerSettings, frozen=True, kw_only=True, tag_field="type", tag="mqtt"):
    """Machines behind an MQTT broker. ``machines``: only these are taken from topics (empty: any).

    ``queue = "unlimited"`` promises that the broker's queue for this client is unlimited and persistent; otherwise a
    disconnection is a possible gap. ``window``: how many messages back a redelivery is recognised.
    """

    topics: list[TopicMap]
    machines: list[str] = []
    qos: Literal[0, 1, 2] = 1
    queue: Literal["bounded", "unlimited"] = "bounded"
    window: int = 128
    retry: Duration = Duration(5.0)
    lost_after: Duration = Duration(5.0)
    clock_limit: Duration = Duration(5.0)


def check_mqtt(source: MqttSource, where: str) -> None:
    """Raises `BadConfig` with the key below ``where``."""
    check_broker(source, where)
    if source.client == "paho" and source.qos == 2:
        raise BadConfig(f"{where}.qos", 2, 'client = "own": paho confirms a QoS 2 message before it is on disk')
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
        if topic.as_ == "signal" and not topic.signal:
            raise BadConfig(f"{here}.signal", "", 'the signal\'s name or a template like "{3}"')
        for key in ("time", "value", "status"):
            pointer = getattr(topic, key)
            if pointer is not None and pointer and not pointer.startswith("/"):
                raise BadConfig(f"{here}.{key}", pointer, 'a JSON pointer like "/ts" (or "" for the whole payload)')
