"""What the screens of this process work with. Streamlit runs ``app.py`` anew for every visitor and click and passes it nothing, so
the one place where a process keeps its plant, snapshot and reader is here. `run` installs it once, before the first visitor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from shinkei_events.settings import PlantFile
    from shinkei_ui.live.hub import Hub
    from shinkei_ui.read import Reader
    from shinkei_ui.settings import UiSettings


class Installed(NamedTuple):
    """``language``: what SHINKEI_LANG says. ``version``: of Shinkei, so that browsers do not mix scripts of two versions."""

    plant: PlantFile
    settings: UiSettings
    hub: Hub
    reader: Reader
    language: str | None
    version: str


_installed: Installed | None = None


def install(what: Installed) -> None:
    """Make ``what`` known to the screens of this process."""
    global _installed
    _installed = what


def installed() -> Installed:
    """What was installed; raises RuntimeError before `install`."""
    if _installed is None:
        raise RuntimeError("the screens are started by `shinkei ui run`")
    return _installed
