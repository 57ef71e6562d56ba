"""Asks gateways over the log and waits for their answers: the commands of `shinkei.commands.v1` from a terminal.

Knows no command's meaning. A gateway checks, does and answers; both are on record.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from confluent_kafka import Message

    from shinkei_events.model.progress import Reply, Request
    from shinkei_events.settings import PlantFile

WAIT_S = 20.0


def ask_gateway(
    plant: PlantFile, requests: Sequence[Request], *, answers: int = 1, wait: float = WAIT_S
) -> list[list[Reply]]:
    """Ask the gateway of ``plant``; for each of ``requests`` the answers of its shards, in the order they came.

    Returns when each request has ``answers`` of them, or after ``wait`` s (then some lists are shorter, or empty). Raises
    `NotConnected` when the log is not there, and `BadConfig`.
    """
    from shinkei_events import kafka
    from shinkei_events.envelope import seal
    from shinkei_events.identity import digest
    from shinkei_events.model.progress import Command
    from shinkei_events.settings import section
    from shinkei_events.topics import REPLIES
    from shinkei_gateway.settings import GatewaySettings

    gateway = section(plant, "gateway", GatewaySettings).id
    log = kafka.find_log(plant)
    kafka.ensure_topics(log, plant.log.replication)
    now, producer = time.time_ns(), kafka.producer(log)
    reader = kafka.plain_consumer(log, "shinkei.cli")
    try:
        kafka.assign_at_end(reader, [REPLIES.name])
        found: dict[str, list[Reply]] = {}
        for at, request in enumerate(requests):
            command = Command(
                id=digest("cli", now, at, secrets.token_hex(8)), gateway=gateway, issuer=f"cli/{os.getuid()}",
                deadline=now + int(wait * 1e9), request=request,
            )  # fmt: skip
            found[command.id] = []
            sealed = seal(command, command.issuer)
            producer.produce(sealed.topic, value=sealed.value, key=sealed.key, headers=[*sealed.headers])
            producer.poll(0)
        producer.flush(wait)
        deadline = time.monotonic() + wait
        while any(len(got) < answers for got in found.values()) and time.monotonic() < deadline:
            _take(kafka.consume_batch(reader), found)
    finally:
        reader.close()
    return list(found.values())


def _take(messages: Sequence[Message], found: dict[str, list[Reply]]) -> None:
    from shinkei_events.envelope import open_record
    from shinkei_events.errors import BadInput
    from shinkei_events.model.progress import Reply

    for message in messages:
        if message.error() is not None:
            continue
        try:
            event = open_record(message.headers(), message.value()).event  # type: ignore[arg-type]
        except BadInput:
            continue
        if isinstance(event, Reply) and event.command in found:
            found[event.command].append(event)
