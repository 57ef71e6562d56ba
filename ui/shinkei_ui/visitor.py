"""Who looks, in which language, in which time zone: read from the request, never from the page.

People are pseudonyms in events. Without a login a visitor is ``guest-xxxx`` for as long as the page is open, proof "none"; behind
an authenticating proxy (``[ui] user_header``) the login becomes a pseudonym of its own, proof "login".
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import streamlit as st

from shinkei_events.model.decision import Actor
from shinkei_ui.installed import Installed
from shinkei_ui.words import Words, choose

_GUEST = "shinkei.guest"


def words_of(found: Installed) -> Words:
    """The visitor's language: ``?lang=``, else SHINKEI_LANG, else ``[ui] language``, else the browser's, else English."""
    return Words(choose(st.query_params.get("lang"), found.language, found.settings.language, st.context.locale))


def zone_of(found: Installed) -> ZoneInfo:
    """The visitor's time zone, else the site's."""
    for name in (st.context.timezone, found.plant.site.zone):
        try:
            if name:
                return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError):
            continue
    return ZoneInfo("UTC")


def actor_of(found: Installed) -> Actor:
    """The visitor as an actor of decisions."""
    login = login_of(found, dict(st.context.headers))
    if login:
        return Actor(pseudonym(found.plant.site.id, login), "login")
    if _GUEST not in st.session_state:
        st.session_state[_GUEST] = f"guest-{secrets.token_hex(3)}"
    return Actor(st.session_state[_GUEST], "none")


def login_of(found: Installed, headers: dict[str, Any]) -> str | None:
    """What the proxy says about who it is; None without a proxy, or when the header is missing."""
    wanted = (found.settings.user_header or "").lower()
    return (
        next((value for name, value in headers.items() if name.lower() == wanted and value), None) if wanted else None
    )


def may_enter(found: Installed, headers: dict[str, Any]) -> bool:
    """Whether this request may see anything."""
    return found.settings.user_header is None or login_of(found, headers) is not None


def pseudonym(site: str, login: str) -> str:
    """The id of a login in events: the same for the same person at a site, and not the name."""
    return "u-" + hashlib.blake2b(f"{site}\0{login}".encode(), digest_size=6).hexdigest()
