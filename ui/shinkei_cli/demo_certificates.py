"""Certificates of the demo: its machines' are made, and gateway and machines put each other's into their trusted folders.

In a plant people do the second half with ``shinkei gateway trust`` and at the server; here both sides are one person's. Called by `demo` at each
start, so that a folder of an older version, a new machine and a certificate near its end are all the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from shinkei_events.runfile import write_atomic
from shinkei_events.settings import PlantFile

if TYPE_CHECKING:
    from shinkei_gateway.opcua.certificate import Identity

HOSTS = ("127.0.0.1", "localhost")
RENEW_DAYS = 60.0
"""Days before its end; earlier than the gateway warns."""


def introduce(plant: PlantFile, machines: Path, names: Sequence[str], now: datetime) -> None:
    """``machines``: the folder of the machines' certificates (``plant.pki``). ``names``: of the OPC UA machines.

    Raises `CertificateInvalid` when a person has put something else in the place of the gateway's own.
    """
    from shinkei_gateway.opcua.pki import Pki, pki_of

    gateway = pki_of(plant)
    line = Pki(machines, "urn:shinkei:plant", "Shinkei plant", plant.site.id)
    line.trust(gateway.own(now).certificate)
    for identity in _identities(machines / "own", names, plant.site.id, now):
        gateway.trust(identity.certificate)


def _identities(folder: Path, names: Sequence[str], organization: str, now: datetime) -> list[Identity]:
    """Those that are there and good; else all anew, with one key for the line: a key takes 50 ms, a certificate with it 1 ms."""
    from shinkei_gateway.opcua.certificate import days_left, make_identity, read_identity
    from shinkei_gateway.opcua.refusal import CertificateInvalid
    from shinkei_plant.nodes import server_uri

    try:
        found = [read_identity((folder / f"{name}.pem").read_bytes()) for name in names]
        if all(days_left(one.certificate, now) > RENEW_DAYS for one in found):
            return found
    except (OSError, CertificateInvalid):
        pass  # the first start, or a file that somebody spoiled: all are made anew
    made: list[Identity] = []
    for name in names:
        made.append(
            make_identity(
                server_uri(name), f"Shinkei plant {name}", organization, HOSTS, now, is_server=True, key=made[0].key if made else None
            )
        )  # fmt: skip
        write_atomic(folder / f"{name}.pem", made[-1].pem())
    return made
