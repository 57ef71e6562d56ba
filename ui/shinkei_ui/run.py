"""The screens' process: Streamlit's web server with our routes, one reader of the log, one reader of the figures.

Runs Streamlit inside this process so that a click, the live feed and the database's reader share one snapshot. Started by
``shinkei ui run`` and by the supervisor.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path
from typing import Any

import uvicorn

from shinkei_events.errors import BadConfig
from shinkei_events.health import Health
from shinkei_events.settings import PlantFile, section
from shinkei_events.telemetry import emit
from shinkei_ui.figures import Figures
from shinkei_ui.installed import Installed, install
from shinkei_ui.live.feed import Feed
from shinkei_ui.live.hub import Hub
from shinkei_ui.live.picture import Picture
from shinkei_ui.problem import on_script_error
from shinkei_ui.read import Reader
from shinkei_ui.settings import UiSettings
from shinkei_ui.telemetry import PartEnded, ScreensServed
from shinkei_ui.web import routes

FONT = "'Noto Sans JP', 'Noto Sans CJK JP', 'Hiragino Sans', 'Yu Gothic UI', 'Meiryo', 'Segoe UI', 'Noto Sans', system-ui, sans-serif"
STREAMLIT: dict[str, Any] = {
    "global.developmentMode": False,
    "server.headless": True,
    "server.fileWatcherType": "none",
    "server.runOnSave": False,
    "browser.gatherUsageStats": False,
    "client.toolbarMode": "viewer",
    "client.showErrorDetails": "none",
    "client.showErrorLinks": False,
    "client.showSidebarNavigation": False,
    # A full garbage collection after every run of a script costs 79 ms of everybody's time (18x with 20 visitors).
    "runner.postScriptGC": False,
    "runner.magicEnabled": False,
    "logger.level": "warning",
    "theme.base": "light",
    "theme.primaryColor": "#0B5CAD",
    "theme.backgroundColor": "#E9ECEF",
    "theme.secondaryBackgroundColor": "#FFFFFF",
    "theme.textColor": "#1B2126",
    "theme.font": FONT,
    "theme.headingFont": FONT,
    "theme.baseRadius": "small",
    "theme.showWidgetBorder": True,
}
"""Streamlit's settings; a test asserts that each still exists (one is hidden)."""

STOP_WITHIN_S = 2
RESTART_AFTER_S = 1.0


def run(plant: PlantFile, stop: threading.Event) -> None:
    """Serve the screens until ``stop`` is set. Raises `BadConfig` for a wrong ``[ui]`` section or a port that is taken."""
    settings = section(plant, "ui", UiSettings)
    listening = _listen(settings)
    hub, reader = Hub(), Reader(plant)
    said = plant.sections["plant"].get("speed")  # of a simulated line; a real one has none
    speed = float(said) if isinstance(said, int | float) else 1.0
    picture = Picture(hub.put, hub.drop, plant.machines, plant.signals, plant.master["reasons"], speed)
    figures = Figures(plant, reader, hub, picture, settings.figures_every)
    feed = Feed(plant, hub, picture, figures.refill)
    install(Installed(plant, settings, hub, reader, os.environ.get("SHINKEI_LANG"), _version()))
    health = Health("ui", plant.dir, settings.http)
    health.add_source(
        lambda: {
            "listeners": hub.listeners,
            "log": feed.connected,
            "database": figures.connected,
            "records": feed.records,
        }
    )
    health.start()
    threads = [_thread("feed", feed.run, stop), _thread("figures", figures.run, stop)]
    try:
        _serve(settings, listening, health, stop)
    finally:
        stop.set()
        for thread in threads:
            thread.join(STOP_WITHIN_S)
        reader.close()
        health.stop()


def _listen(settings: UiSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.address else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.address, settings.port))
    except OSError as error:
        listening.close()
        raise BadConfig("ui.port", settings.port, f"cannot be used on {settings.address}: {error.strerror}") from error
    listening.listen(128)
    listening.setblocking(False)
    return listening


def _thread(name: str, work: Callable[[threading.Event], None], stop: threading.Event) -> threading.Thread:
    def guarded() -> None:
        while not stop.is_set():
            try:
                work(stop)
            except Exception as error:  # noqa: BLE001 - outermost loop: the board must not stay blind
                emit(PartEnded(name, f"{type(error).__name__}: {error}"))
                stop.wait(RESTART_AFTER_S)

    thread = threading.Thread(target=guarded, name=name, daemon=True)
    thread.start()
    return thread


def _serve(settings: UiSettings, listening: socket.socket, health: Health, stop: threading.Event) -> None:
    """Streamlit's ASGI app under uvicorn, in a thread with a loop of its own: signals belong to whoever called `run`."""
    from streamlit import config
    from streamlit.starlette import App
    from streamlit.web import bootstrap

    from shinkei_ui.installed import installed
    from shinkei_ui.parts.topbar import PAGES

    port = listening.getsockname()[1]
    script = Path(str(files("shinkei_ui") / "app.py"))
    bootstrap.load_config_options(
        STREAMLIT
        | {"server.port": port, "server.address": settings.address, "server.baseUrlPath": settings.base_path.strip("/")}
    )
    config._main_script_path = str(script)
    app = App(script, routes=routes(installed(), stop.is_set, PAGES), on_script_error=on_script_error)
    server = uvicorn.Server(
        uvicorn.Config(
            app, access_log=False, log_config=None, lifespan="on", timeout_graceful_shutdown=1, ws_max_size=32 * 2**20
        )
    )
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)  # a database that is away is told once, by Figures
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listening])), name="web", daemon=True)
    thread.start()
    url = f"http://{_shown(settings.address)}:{port}{settings.base_path.rstrip('/')}/"
    while not server.started and thread.is_alive() and not stop.is_set():
        time.sleep(0.02)
    if server.started:
        emit(ScreensServed(url))
        health.update(ready=True, url=url)
    while not stop.wait(0.5):
        if not thread.is_alive():
            raise BadConfig("ui", url, "the web server ended by itself; its log says why")
    server.should_exit = True
    thread.join(STOP_WITHIN_S)


def _shown(address: str) -> str:
    return "localhost" if address in {"127.0.0.1", "0.0.0.0", "::", "::1"} else address


def _version() -> str:
    try:
        return version("shinkei")
    except PackageNotFoundError:
        return "dev"
