"""amqtt with its retained messages mended: a client is told those of its own subscriptions, never of its neighbours'.

amqtt 0.12 gives whoever connects the retained messages of every filter that any client has subscribed: measured, the gateway's own STATE
came to its source of plain MQTT. Imported by `broker` only where no mosquitto is installed.
"""

from __future__ import annotations

from amqtt.broker import Broker
from amqtt.session import Session


class Amqtt(Broker):  # type: ignore[misc]  # amqtt has no types
    """Use as amqtt's own."""

    async def _publish_retained_messages_for_subscription(
        self, subscription: tuple[str, int], session: Session
    ) -> None:
        if any(each.client_id == session.client_id for each, _ in self.subscriptions.get(subscription[0], ())):
            await super()._publish_retained_messages_for_subscription(subscription, session)
