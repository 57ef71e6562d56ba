"""What the broker says of itself (MQTT 5, 3.2.2.3) against what plant.toml promises: where the promise cannot be kept, in words. Pure.

What no broker tells (how many messages it queues for an absent client, whether sessions outlive its restart) stays the operator's
word: `queue`. Used by ``check --connect`` and by the source's health.
"""

from __future__ import annotations

from shinkei_gateway.mqtt.connection import RECEIVE_MAXIMUM, SESSION_EXPIRY_S, Limits
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
    return found


def promises(source: MqttSource) -> list[str]:
    """Where the settings contradict themselves, whatever the broker is."""
    found = []
    if source.queue == "unlimited" and source.qos == 0:
        found.append('queue = "unlimited" with qos = 0: QoS 0 is not queued, every absence is a possible gap')
    if source.qos and source.window < RECEIVE_MAXIMUM:
        found.append(
            f"window = {source.window} is less than what may be under way ({RECEIVE_MAXIMUM}): repeats may go unrecognised"
        )
    return found
