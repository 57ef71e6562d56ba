"""Asks gateways over the log and waits for their answers: the client's side of `shinkei.commands.v1`.

Knows no command's meaning. A gateway checks, does and answers; both are on record. Used by the `shinkei` command and by the screens, who
may never talk to machines themselves.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence

from confluent_kafka import Consumer, Message

from shinkei_events import kafka
from shinkei_events.envelope import open_record, seal
from shinkei_events.errors import BadInput, NotConnected
from shinkei_events.identity import digest
from shinkei_events.model.progress import Command, Reply, Request
from shinkei_events.settings import PlantFile
from shinkei_events.topics import REPLIES

WAIT_S = 20.0
LEADER_S = 5.0


def ask(
    plant: PlantFile, gateway: str, issuer: str, requests: Sequence[Request], *, answers: int = 1, wait: float = WAIT_S
) -> list[list[Reply]]:
    """Ask ``gateway``; for each of ``requests`` the answers of its shards, in the order they came.

    ``issuer`` is ``part/who``. Returns when each request has ``answers`` of them, or after ``wait`` s (then some lists are shorter, or
    empty): the commands' deadline. Blocks. Raises `NotConnected` when the log is not there.
    """
    log = kafka.find_log(plant)
    kafka.ensure_topics(log, plant.log.replication)
    now, producer = time.time_ns(), kafka.producer(log)
    reader = kafka.plain_consumer(log, "shinkei.ask")
    try:
        _listen(reader, REPLIES.name)
        found: dict[str, list[Reply]] = {}
        for at, request in enumerate(requests):
            command = Command(
                id=digest("ask", now, at, secrets.token_hex(8)),
                gateway=gateway,
                issuer=issuer,
                deadline=now + int(wait * 1e9),
                request=request,
            )
            found[command.id] = []
            sealed = seal(command, issuer)
            producer.produce(sealed.topic, value=sealed.value, key=sealed.key, headers=[*sealed.headers])
            producer.poll(0)
        producer.flush(wait)
        deadline = time.monotonic() + wait
        while any(len(got) < answers for got in found.values()) and time.monotonic() < deadline:
            _take(kafka.consume_batch(reader), found)
    finally:
        reader.close()
    return list(found.values())


def _listen(reader: Consumer, topic: str) -> None:
    """Read ``topic`` from its end. A log that has just made its topics may need a moment to know who leads them."""
    deadline = time.monotonic() + LEADER_S
    while True:
        try:
            kafka.assign_at_end(reader, [topic])
        except NotConnected:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return


def _take(messages: Sequence[Message], found: dict[str, list[Reply]]) -> None:
    for message in messages:
        if message.error() is not None:
            continue
        try:
            event = open_record(message.headers(), message.value()).event  # type: ignore[arg-type]
        except BadInput:
            continue
        if isinstance(event, Reply) and event.command in found:
            found[event.command].append(event)
