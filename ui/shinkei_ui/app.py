"""The script Streamlit runs for every visitor: who may enter, the pages, the bar on top, then the page. Started by `run`."""

from __future__ import annotations

from importlib.resources import files

import streamlit as st

from shinkei_ui.installed import installed
from shinkei_ui.parts.style import style
from shinkei_ui.parts.topbar import PAGES, page_of, topbar
from shinkei_ui.visitor import may_enter, words_of

found = installed()
words = words_of(found)
st.set_page_config(
    page_title=words("app.name"), page_icon=str(files("shinkei_ui") / "assets" / "icon.png"), layout="wide"
)
chosen = st.navigation([page_of(name, words) for name in PAGES], position="hidden")
style()
if may_enter(found, dict(st.context.headers)):
    topbar(found, words, chosen)
    chosen.run()
else:
    st.title(words("problem.forbidden"))
    st.write(words("problem.ask"))
