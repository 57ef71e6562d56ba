"""Headless Chromium, the machine's own, driven from Python: pages, console messages, requests, pictures.

Playwright's wheel brings the driver; the browser is `/usr/bin/chromium` (never downloaded). Its own errands (updates, sync, safe
browsing) are off, so every request that is seen comes from the page.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

MISSING = "no Chromium: run tools/install-test-tools browser (or leave the tests out by SHINKEI_TEST_WITHOUT=browser)"
_FLAGS = (
    "--no-sandbox",  # root has no sandbox
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--font-render-hinting=none",
)
HOME_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})


def program() -> str | None:
    """The browser's program, or None."""
    return next(
        (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
    )


@dataclass
class Seen:
    """What happened in one `Screen` so far."""

    errors: list[str] = field(default_factory=list)
    """Console errors and exceptions that nobody caught."""
    console: list[str] = field(default_factory=list)
    """Every console message, as ``type: text``."""
    requests: list[str] = field(default_factory=list)
    """Addresses asked for, in order (also those of web sockets)."""
    failed: list[str] = field(default_factory=list)
    """Requests without an answer or with a status of 400 and more."""

    def abroad(self) -> list[str]:
        """Requests that left this machine."""
        return [
            url
            for url in self.requests
            if urlsplit(url).scheme in ("http", "https", "ws", "wss") and urlsplit(url).hostname not in HOME_HOSTS
        ]


class Screen:
    """One page in a browser profile of its own. ``page`` is Playwright's; ``seen`` collects from the beginning."""

    def __init__(self, context: BrowserContext) -> None:
        self._context = context
        self.seen = Seen()
        context.set_default_timeout(120_000)  # of whatever a test asks of the page
        self.page: Page = context.new_page()
        self.page.on("console", lambda message: self._said(message.type, message.text))
        self.page.on("pageerror", lambda error: self.seen.errors.append(str(error)))
        self.page.on("request", lambda request: self.seen.requests.append(request.url))
        self.page.on("websocket", lambda socket: self.seen.requests.append(socket.url))
        self.page.on("requestfailed", lambda request: self.seen.failed.append(f"{request.url}: {request.failure}"))
        self.page.on(
            "response",
            lambda answer: self.seen.failed.append(f"{answer.url}: {answer.status}") if answer.status >= 400 else None,
        )

    def open(
        self,
        url: str,
        until: Literal["commit", "domcontentloaded", "load", "networkidle"] = "load",
        timeout: float = 120.0,
    ) -> None:
        """Go to ``url``; AssertionError when it does not answer with success. Server push never idles: don't wait for that."""
        answer = self.page.goto(url, wait_until=until, timeout=timeout * 1000)
        assert answer is None or answer.ok, f"{url} answered {answer.status}"

    def text(self, selector: str = "body") -> str:
        """The visible text of the first element that matches."""
        return self.page.locator(selector).first.inner_text()

    def wait_text(self, text: str, timeout: float = 120.0) -> None:
        """Until ``text`` is visible somewhere."""
        self.page.get_by_text(text).first.wait_for(state="visible", timeout=timeout * 1000)

    def wait_until(self, expression: str, timeout: float = 120.0) -> None:
        """Until the JavaScript ``expression`` is true in the page; looked at in each frame that is painted."""
        self.page.wait_for_function(expression, timeout=timeout * 1000)

    def picture(self, path: Path, *, whole: bool = False) -> Path:
        """A PNG of what is visible, or of the ``whole`` page."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=path, full_page=whole, animations="disabled")
        return path

    def close(self) -> None:
        self._context.close()

    def _said(self, kind: str, text: str) -> None:
        self.seen.console.append(f"{kind}: {text}")
        if kind == "error":
            self.seen.errors.append(text)


class Chromium:
    """One browser process; each `screen` is a fresh profile. Not thread-safe, as Playwright is."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser

    def screen(
        self, width: int = 1920, height: int = 1080, *, locale: str = "en-GB", scale: float = 1.0, dark: bool = False
    ) -> Screen:
        """A new page of that size; ``locale`` is what the browser asks servers for, the time zone is Japan's."""
        context = self._browser.new_context(
            viewport={"width": width, "height": height},
            device_scale_factor=scale,
            locale=locale,
            timezone_id="Asia/Tokyo",
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
        )
        return Screen(context)


@contextmanager
def chromium() -> Iterator[Chromium]:
    """Start the browser, end it with all its processes."""
    found = program()
    assert found is not None, MISSING
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, headless=True, args=list(_FLAGS), timeout=120_000)
        try:
            yield Chromium(browser)
        finally:
            browser.close()
