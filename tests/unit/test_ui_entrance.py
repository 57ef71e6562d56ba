"""A page that is opened by its own address knows at once where its server is, below whatever path a proxy serves it."""

from __future__ import annotations

import pytest

from shinkei_ui.web import entrance


@pytest.mark.parametrize("base", ["", "/board"])
def test_the_page_is_streamlits_with_the_servers_address_told_first(base: str) -> None:
    page = entrance(base)
    told = page.index(f'BACKEND_BASE_URL: location.origin + "{base}/"')
    assert page.index("<head>") < told < page.index('type="module"')
    assert entrance("").count("__streamlit") == 1
