"""The web server's routes beside Streamlit's own: the live feed, the snapshot, the timeline, the shared worker, the pages' entrance.

Every route asks by itself whether the visitor may enter: Streamlit's login does not cover them. No page is drawn here.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from importlib.resources import files
from typing import Any

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from shinkei_events.errors import NotConnected
from shinkei_ui.installed import Installed
from shinkei_ui.live.hub import server_sent_events
from shinkei_ui.visitor import may_enter

NO_STORE = {"Cache-Control": "no-store"}
SSE_HEADERS = NO_STORE | {"X-Accel-Buffering": "no"}
Endpoint = Callable[[Request], Awaitable[Response]]


def entrance(base: str) -> str:
    """Streamlit's page, told where its server is: opened at ``/trace`` it would ask ``/trace/_stcore/health`` first and log a 404."""
    page = (files("streamlit") / "static" / "index.html").read_text(encoding="utf-8")
    told = f'<script>window.__streamlit = {{ BACKEND_BASE_URL: location.origin + "{base}/" }}</script>'
    return page.replace("<head>", f"<head>{told}", 1)


def script(*names: str) -> str:
    """Scripts of the board, one after the other."""
    return "\n".join((files("shinkei_ui") / "live" / name).read_text(encoding="utf-8") for name in names)


def now_ms() -> int:
    """The server's wall clock."""
    return time.time_ns() // 1_000_000


def routes(found: Installed, stopped: Callable[[], bool], pages: Iterable[str] = ()) -> list[Route]:
    """Routes for ``st.App``; ``stopped()`` ends the open feeds. ``pages``: names of the pages in addresses."""

    async def events(request: Request) -> Response:
        return StreamingResponse(_body(), media_type="text/event-stream", headers=SSE_HEADERS)

    def _body() -> AsyncIterator[bytes]:
        return server_sent_events(found.hub, now_ms, stopped)

    async def snapshot(request: Request) -> Response:
        return Response(found.hub.full(now_ms()), media_type="application/json", headers=NO_STORE)

    async def timeline(request: Request) -> Response:
        body = await run_in_threadpool(_timeline, found)
        return Response(body, media_type="application/json", headers=NO_STORE)

    async def worker(request: Request) -> Response:
        return Response(script("tape.js", "worker.js"), media_type="text/javascript", headers=NO_STORE)

    page_at_once = entrance(found.settings.base_path.rstrip("/"))

    async def page(request: Request) -> Response:
        return HTMLResponse(page_at_once, headers={"Cache-Control": "no-cache"})

    def guarded(endpoint: Endpoint) -> Endpoint:
        async def answer(request: Request) -> Response:
            if not may_enter(found, dict(request.headers)):
                return PlainTextResponse("log in first\n", 403, NO_STORE)
            return await endpoint(request)

        return answer

    base = found.settings.base_path.rstrip("/")
    table: dict[str, Endpoint] = {"events": events, "snapshot": snapshot, "timeline": timeline, "worker.js": worker}
    live = [Route(f"{base}/live/{name}", guarded(endpoint)) for name, endpoint in table.items()]
    return [
        *live,
        *(Route(f"{base}/{name}", page) for name in pages),
    ]  # what a page shows asks for itself who may enter


def _timeline(found: Installed) -> bytes:
    """``machines`` is null while the database is away: an answer, too."""
    hours = found.settings.hours
    try:
        machines: dict[str, Any] | None = found.reader.timeline(hours)
    except NotConnected:
        machines = None
    return msgspec.json.encode({"hours": hours, "machines": machines})
