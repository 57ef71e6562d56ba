"""The plant's one configuration file: the sections all parts share, and strict decoding of each part's own.

Checking is not connecting: everything here works offline. Every error is a `BadConfig` that names the key. Environment is
read for secrets only, where the file says so.
"""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from shinkei_events.allowed import explained
from shinkei_events.errors import BadConfig
from shinkei_events.model import master as kinds

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ns|us|ms|s|m|h|d)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(B|kB|MB|GB|TB|KiB|MiB|GiB)")
_BYTES = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_PATH = re.compile(r" - at `(?:key` in `)?\$?\.?(.*)`$")

T = TypeVar("T")


class Duration(float):
    """Seconds, written as text with a unit: ``"100ms"``, ``"5s"``, ``"10m"``, ``"24h"``."""

    @classmethod
    def parse(cls, text: str) -> Duration:
        """Raises ValueError for anything but a number with one of the units ns us ms s m h d."""
        found = _DURATION.fullmatch(text.strip())
        if not found:
            raise ValueError(f"{text!r} is not a duration: write a number with a unit, like 100ms, 5s, 10m, 24h")
        return cls(float(found[1]) * _SECONDS[found[2]])


class Size(int):
    """Bytes, written as text with a unit: ``"50MB"``, ``"2GiB"``."""

    @classmethod
    def parse(cls, text: str) -> Size:
        """Raises ValueError for anything but a number with a unit."""
        found = _SIZE.fullmatch(text.strip())
        if not found:
            raise ValueError(f"{text!r} is not a size: write a number with a unit, like 50MB or 2GiB")
        return cls(int(float(found[1]) * _BYTES[found[2]]))


class Secret:
    """A secret that never shows itself. Written ``"file:PATH"`` or ``"env:NAME"``; read when it is needed."""

    __slots__ = ("_where",)

    def __init__(self, where: str) -> None:
        kind, colon, rest = where.partition(":")
        if not colon or kind not in {"file", "env"} or not rest:
            raise ValueError("a secret is given by file:PATH or env:NAME, never in the file itself")
        self._where = where

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._where == self._where

    def __hash__(self) -> int:
        return hash(self._where)

    def reveal(self, base: Path | None = None) -> str:
        """The secret; raises `BadConfig` when the file or variable is not there."""
        kind, _, rest = self._where.partition(":")
        if kind == "env":
            value = os.environ.get(rest)
            if value is None:
                raise BadConfig(self._where, "", f"set the environment variable {rest}")
            return value
        try:
            return ((base or Path()) / rest).read_text().strip()
        except OSError as error:
            raise BadConfig(self._where, "", f"cannot be read: {error.strerror}") from error

    def stamp(self, base: Path | None = None) -> int:
        """Another number when the secret was changed; says nothing about it."""
        kind, _, rest = self._where.partition(":")
        if kind == "env":
            return hash(os.environ.get(rest))
        try:
            return ((base or Path()) / rest).stat().st_mtime_ns
        except OSError:
            return 0

    def __repr__(self) -> str:
        return f"Secret({self._where.partition(':')[0]}:…)"


class Site(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``id`` is unique in the company. ``languages``: those that texts of alarms are written in."""

    id: str
    title: dict[str, str] = {}
    languages: tuple[str, ...] = ("ja", "en")
    zone: str = "UTC"


class LogSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``bootstrap``: Kafka's addresses; none: the embedded log of this folder. ``kafka``: further client settings by Kafka's names."""

    bootstrap: str | None = None
    replication: int = 1
    kafka: dict[str, str] = {}


class StoreSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``dsn``: the plant's PostgreSQL; none: the embedded one of this folder. ``recorder``: the name progress is reported under."""

    dsn: str | None = None
    password: Secret | None = None
    recorder: str = "recorder"
    http: str = "127.0.0.1:0"
    commit_every: Duration = Duration(0.2)
    commit_rows: int = 20_000
    readings_as_rows: str = "configured"


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    site: Site
    log: LogSettings = LogSettings()
    store: StoreSettings = StoreSettings()
    gateway: dict[str, Any] = {}
    detect: dict[str, Any] = {}
    trace: dict[str, Any] = {}
    alerts: dict[str, Any] = {}
    ui: dict[str, Any] = {}
    plant: dict[str, Any] = {}
    machines: list[dict[str, Any]] = []
    signals: list[dict[str, Any]] = []
    products: list[dict[str, Any]] = []
    characteristics: list[dict[str, Any]] = []
    routings: list[dict[str, Any]] = []
    ideal_cycles: list[dict[str, Any]] = []
    shifts: list[dict[str, Any]] = []
    reasons: list[dict[str, Any]] = []
    conditions: list[dict[str, Any]] = []


_MASTER: dict[str, tuple[type[kinds.MasterData], tuple[str, ...]]] = {
    "machines": (kinds.Machine, ()),
    "signals": (kinds.Signal, ("machine", "signal")),
    "products": (kinds.Product, ()),
    "characteristics": (kinds.Characteristic, ("product", "operation", "characteristic")),
    "routings": (kinds.Routing, ("product",)),
    "ideal_cycles": (kinds.IdealCycle, ("machine", "product")),
    "shifts": (kinds.Shift, ("line", "starts")),
    "reasons": (kinds.Reason, ()),
    "conditions": (kinds.Condition, ()),
}


class PlantFile(msgspec.Struct, frozen=True):
    """A read configuration. ``path``: the file; ``dir``: where this site keeps its run files, spool, logs and embedded servers."""

    path: Path
    dir: Path
    site: Site
    log: LogSettings
    store: StoreSettings
    sections: dict[str, dict[str, Any]]
    master: dict[str, list[Any]]

    @property
    def gateway(self) -> dict[str, Any]:
        """The gateway's section, not yet checked."""
        return self.sections["gateway"]

    @property
    def machines(self) -> list[kinds.Machine]:
        """The machines of the master data."""
        return self.master["machines"]

    @property
    def signals(self) -> list[kinds.Signal]:
        """The signals of the master data."""
        return self.master["signals"]

    @property
    def conditions(self) -> list[kinds.Condition]:
        """The alarm conditions of the master data."""
        return self.master["conditions"]

    def documents(self) -> list[kinds.MasterData]:
        """All master data documents in the file."""
        return [document for entries in self.master.values() for document in entries]


def load_plant(path: Path, folder: Path | None = None) -> PlantFile:
    """Read and check ``plant.toml``; ``folder`` overrides SHINKEI_DIR and the default ``<folder of the file>/.shinkei``.

    Raises `BadConfig` for a file that cannot be read, is no TOML, has unknown keys or wrong values.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadConfig(
            str(path), "", f"cannot be read: {error.strerror} (--config names the file, --dir a demo's folder)"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadConfig(str(path), "", f"is not TOML: {error}") from error
    file = strict(raw, _File, "")
    found_documents = {
        name: [_master(name, at, item) for at, item in enumerate(getattr(file, name))] for name in _MASTER
    }
    for name, entries in found_documents.items():
        seen: set[str] = set()
        for entry in entries:
            if entry.name in seen:
                raise BadConfig(name, entry.name, "is there twice")
            seen.add(entry.name)
    sections = {name: getattr(file, name) for name in ("gateway", "detect", "trace", "alerts", "ui", "plant")}
    home = folder or (Path(found) if (found := os.environ.get("SHINKEI_DIR")) else path.resolve().parent / ".shinkei")
    return PlantFile(path.resolve(), home.resolve(), file.site, file.log, file.store, sections, found_documents)


def section(plant: PlantFile, name: str, kind: type[T]) -> T:
    """The part's own section as its settings struct (which should say ``forbid_unknown_fields=True``)."""
    return strict(plant.sections[name], kind, name)


def strict(raw: Any, kind: type[T], where: str) -> T:
    """Decode ``raw`` as ``kind``; raises `BadConfig` with the dotted key below ``where`` and what may stand there."""
    try:
        return msgspec.convert(raw, kind, dec_hook=_hook, str_keys=True)
    except msgspec.ValidationError as error:
        text = str(error)
        found = _PATH.search(text)
        wrong = explained(kind, raw, found[1] if found else "", text[: found.start()] if found else text)
        key = ".".join(part for part in (where, wrong.key) if part)
        raise BadConfig(key or "plant.toml", _at(raw, wrong.key) if wrong.is_value else "", wrong.expected) from error


def _hook(kind: type, value: Any) -> Any:
    if kind is Duration and isinstance(value, str):
        return Duration.parse(value)
    if kind is Size and isinstance(value, str):
        return Size.parse(value)
    if kind is Secret and isinstance(value, str):
        return Secret(value)
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise ValueError(f"expected text for a {kind.__name__.lower()}")


def _at(raw: Any, path: str) -> Any:
    if re.search(r"password|secret|token|key", path):
        return "…"
    for part in re.findall(r"[^.\[\]]+", path):
        try:
            raw = raw[int(part)] if isinstance(raw, list) else raw[part]
        except (KeyError, IndexError, ValueError, TypeError):
            return ""
    return "…" if isinstance(raw, dict | list) else raw


def _master(name: str, at: int, item: dict[str, Any]) -> Any:
    kind, parts = _MASTER[name]
    if "name" not in item and parts:
        item = item | {"name": "/".join(str(item.get(part, "")) for part in parts)}
    unknown = set(item) - set(kind.__struct_fields__)
    if unknown:
        raise BadConfig(
            f"{name}[{at}].{min(unknown)}",
            item[min(unknown)],
            f"unknown key; known are {', '.join(kind.__struct_fields__)}",
        )
    return strict(item, kind, f"{name}[{at}]")
