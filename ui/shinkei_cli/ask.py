"""Asks the gateway of a plant over the log, from a terminal. What is asked and answered is `shinkei_events.ask`'s."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
    from shinkei_events.ask import ask
    from shinkei_events.settings import section
    from shinkei_gateway.settings import GatewaySettings

    gateway = section(plant, "gateway", GatewaySettings).id
    return ask(plant, gateway, f"cli/{os.getuid()}", requests, answers=answers, wait=wait)
