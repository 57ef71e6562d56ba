"""plant.toml read again while the gateway runs: whole and right, or not at all. Changes nothing itself.

Called by `run` for a `shinkei gateway reload`, an `Apply` command, or SIGHUP.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from shinkei_events.errors import BadConfig
from shinkei_events.settings import PlantFile, Secret, load_plant, section
from shinkei_gateway.mqtt.broker_settings import BrokerSettings, dial
from shinkei_gateway.settings import GatewaySettings, sources_of

_LATER = ("frame_age", "http", "spool")
"""Keys of the gateway's section that count from the next start on (``spool.keep_after`` at once)."""

_FILES = ("ca", "cert", "key")
_STAMP_KEY = os.urandom(32)


class Read(NamedTuple):
    """``later``: keys that are another way now and count from the next start on."""

    plant: PlantFile
    settings: GatewaySettings
    later: list[str]


def read_again(old_plant: PlantFile, old: GatewaySettings) -> Read:
    """The file as it is now. Raises `BadConfig` with what is wrong; then the old configuration stays, whole."""
    plant = load_plant(old_plant.path, old_plant.dir)
    settings = section(plant, "gateway", GatewaySettings)
    for key in ("id", "shard"):
        if getattr(settings, key) != getattr(old, key):
            raise BadConfig(
                f"gateway.{key}", getattr(settings, key), "cannot change while the gateway runs: restart it"
            )
    check_secrets(settings, plant.path.parent)
    later = [f"gateway.{key}" for key in _LATER if getattr(settings, key) != getattr(old, key)]
    later += [name for name in ("log", "store") if getattr(plant, name) != getattr(old_plant, name)]
    return Read(plant, settings, later)


def check_secrets(settings: GatewaySettings, folder: Path) -> None:
    """Raises `BadConfig` unless every secret and certificate that a source names can be read."""
    for source in sources_of(settings).values():
        if isinstance(source, BrokerSettings):
            dial(source, folder)
        for secret in _secrets(source):
            secret.reveal(folder)


def stamp_of(source: Any, folder: Path) -> bytes:
    """Another value when a file that ``source`` names for a secret or certificate says something else; useless outside this process."""
    found = hashlib.blake2b(key=_STAMP_KEY)
    for secret in _secrets(source):
        try:
            found.update(secret.reveal(folder).encode() + b"\0")
        except BadConfig:
            found.update(b"\1")  # not there: whoever needs it says so
    for name in _FILES if isinstance(source, BrokerSettings) else ():
        where = getattr(source, name)
        with contextlib.suppress(OSError):
            found.update((folder / where.removeprefix("file:")).read_bytes() + b"\0" if where else b"\1")
    return found.digest()


def _secrets(value: Any) -> Iterator[Secret]:
    if isinstance(value, Secret):
        yield value
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from _secrets(getattr(value, name))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _secrets(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _secrets(item)
