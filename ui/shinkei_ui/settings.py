"""The ``[ui]`` section of plant.toml: where the screens are served, in which language, and who is believed to be who."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from shinkei_events.settings import Duration


class UiSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``address``/``port``: where browsers connect. ``base_path``: below which path a proxy serves it. ``language``: for visitors whose
    address says none and who have not chosen; none: what their browser asks for.

    ``user_header``: the request header in which an authenticating proxy names the visitor (it must strip what browsers send under
    that name); when it is set, who comes without it sees nothing, and decisions carry the proof "login". ``hours``: how far back the
    board's timeline goes. ``figures_every``: how often the figures are asked of the database, once for all browsers.
    """

    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 8501
    address: str = "127.0.0.1"
    base_path: str = ""
    language: Literal["ja", "en"] | None = None
    user_header: str | None = None
    hours: int = 8
    figures_every: Duration = Duration(3.0)
    http: str = "127.0.0.1:0"
