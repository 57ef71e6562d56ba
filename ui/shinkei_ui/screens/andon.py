"""The andon board: what is wrong on the line now, and since when. Pushed live; this script only mounts it and takes decisions."""

from __future__ import annotations

import streamlit as st

from shinkei_events.errors import NotConnected
from shinkei_ui.decide import acknowledge
from shinkei_ui.installed import installed
from shinkei_ui.live.board import board
from shinkei_ui.parts.timeline import states_table
from shinkei_ui.parts.topbar import file_of
from shinkei_ui.visitor import actor_of, words_of

_RAISED = "shinkei.board.raised"

found = installed()
words = words_of(found)
result = board(found, words, st.session_state.pop(_RAISED, None))
with st.expander(words("table.show")):
    states_table(found, words)
if result.ack:
    try:
        acknowledge(found, actor_of(found), result.ack["alarm"], int(result.ack["occurrence"]), result.ack["machine"])
    except NotConnected:
        st.session_state[_RAISED] = words("inbox.not_sent")
        st.rerun()
if result.go:
    kept = {"lang": st.query_params["lang"]} if "lang" in st.query_params else {}
    st.switch_page(file_of(result.go["page"]), query_params=result.go["query"] | kept)
