"""When a screen cannot be drawn: a plain sentence, an id that is also in the log, a way on. Never a trace."""

from __future__ import annotations

import secrets
import traceback

import psycopg
import streamlit as st

from shinkei_events.errors import NotConnected
from shinkei_events.telemetry import emit
from shinkei_ui.installed import installed
from shinkei_ui.telemetry import ScreenFailed
from shinkei_ui.visitor import words_of


def on_script_error(error: Exception) -> bool:
    """Called by Streamlit for whatever a screen raises; True: we have said it ourselves."""
    words = words_of(installed())
    away = isinstance(error, NotConnected | psycopg.OperationalError)
    id = secrets.token_hex(3)
    last = traceback.extract_tb(error.__traceback__)[-1:]
    where = f"{last[0].filename.rpartition('/')[2]}:{last[0].lineno}" if last else ""
    emit(ScreenFailed(id, type(error).__name__, str(error), where))
    with st.container(border=True, key="problem"):
        st.markdown(f"**{words('problem.database' if away else 'problem.defect')}**")
        st.caption(words("problem.id", id=id))
        with st.container(horizontal=True):
            st.button(words("problem.retry"), type="primary")
            st.html(f'<a href="health" target="_self">{words("problem.health")}</a>', width="content")
    return True
