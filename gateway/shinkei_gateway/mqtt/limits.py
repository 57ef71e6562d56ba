"""What the broker says of itself (MQTT 5, 3.2.2.3; ``$SYS``) against what plant.toml promises: where it cannot be kept, in words. Pure.

What no broker tells (how many messages it queues for an absent client, whether sessions outlive its restart) stays the operator's
word: `queue`; that it was not kept can be seen afterwards. Used by ``check --connect`` and by the source's health.
"""

from __future__ import annotations

from shinkei_gateway.mqtt.broker_state import BrokerState
from shinkei_gateway.mqtt.connection import RECEIVE_MAXIMUM, SESSION_EXPIRY_S, Limits
from shinkei_gateway.mqtt.filters import minimal, overlapping
from shinkei_gateway.mqtt.settings import MqttSource

SHORT_SESSION_S = 86_400
"""A session that ends within a day does not outlive a weekend's, nor a long repair's, absence."""


def shortfalls(source: MqttSource, limits: Limits, *, kept: bool = True) -> list[str]:
    """Sentences, none when all that can be seen is well. ``kept``: the session was asked to stay for ever."""
    found = []
    expiry = limits.session_expiry
    if kept and expiry is not None and expiry < SESSION_EXPIRY_S:
        what = "the broker forgets our session and what is queued in it"
        if source.queue == "unlimited":
            found.append(f'{what} after {expiry} s without us: queue = "unlimited" cannot be kept')
        elif expiry < SHORT_SESSION_S:
            found.append(f"{what} after {expiry} s without us")
    if limits.maximum_qos is not None and limits.maximum_qos < source.qos:
        found.append(f"the broker's highest QoS is {limits.maximum_qos}, asked for is {source.qos}")
    if limits.keepalive is not None and limits.keepalive > 2 * source.keepalive:
        found.append(f"the broker sets the keep-alive to {limits.keepalive} s: a dead connection is found that late")
    if limits.wildcards is False and (
        named := [topic.filter for topic in source.topics if set(topic.filter) & {"+", "#"}]
    ):
        found.append(f"the broker takes no wildcards: {', '.join(named)} cannot be subscribed to")
    return found


def broken(source: MqttSource, state: BrokerState) -> list[str]:
    """What the broker's own counters show: messages it dropped and sessions it forgot, of any client."""
    found = []
    since = "" if state.uptime is None else f" in the {state.uptime} s since its start"
    if state.dropped:
        found.append(
            f"the broker dropped {state.dropped} messages{since}, of whichever client, because a queue was full: "
            + ('queue = "unlimited" is not so; ' if source.queue == "unlimited" else "")
            + "raise its limits (mosquitto: max_queued_messages, max_queued_bytes; 0 is without limit)"
        )
    if state.expired:
        found.append(
            f"the broker ended {state.expired} sessions of absent clients{since}: it forgets what is queued in them "
            "(mosquitto: persistent_client_expiration)"
        )
    return found


def forgot(state: BrokerState, away: float | None) -> list[str]:
    """After a lost session: whether the broker was started anew meanwhile and had not kept it. ``away``: s since we last had it, if known."""
    if away is None or state.uptime is None or state.uptime > away:
        return []
    what = "the broker was started again and had not kept our session: its persistence is off, or it saves too rarely"
    return [f"{what} (mosquitto: persistence true, autosave_interval)"]


def promises(source: MqttSource) -> list[str]:
    """Where the settings contradict themselves, whatever the broker is."""
    found = []
    if source.queue == "unlimited" and source.qos == 0:
        found.append('queue = "unlimited" with qos = 0: QoS 0 is not queued, every absence is a possible gap')
    if source.qos and source.window < RECEIVE_MAXIMUM:
        found.append(
            f"window = {source.window} is less than what may be under way ({RECEIVE_MAXIMUM}): repeats may go unrecognised"
        )
    for one, other in overlapping(minimal([topic.filter for topic in source.topics]))[:3]:
        found.append(
            f"the filters {one} and {other} overlap: brokers may deliver a message on both twice; its second copy is taken and marked"
        )
    return found
