"""A source, or a session alone, of a server with certificates while a test runs: what it is told when it is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from shinkei_events.errors import NotConnected
from shinkei_gateway.opcua.session import Session
from shinkei_gateway.opcua.source import OpcuaMachine
from tests.support.fake_intake import FakeIntake
from tests.support.secure_machine import SecureMachine, secured
from tests.support.waiting import eventually_async


def check(machine: SecureMachine, test: Callable[[], Awaitable[None]], limit: float = 300) -> None:
    async def whole() -> None:
        await machine.start()
        try:
            await asyncio.wait_for(test(), limit)
        finally:
            await machine.stop()

    asyncio.run(whole())


async def connect(folder: Path, machine: SecureMachine, **more: Any) -> Any:
    """A session was there: its client; raises what a source would be told."""
    source, _, security = secured(folder, more.pop("url", machine.url), **more)
    session = Session(source.url, "test", 60.0, security.secure)
    try:
        await session.connect()
        assert await session.is_alive()
        return session._client
    except NotConnected as error:
        raise security.explain(error) from error
    finally:
        await session.close()


def trusted(folder: Path, machine: SecureMachine, address: str | None = None) -> None:
    secured(folder, machine.url)[1].trust(machine.identity.certificate, address)


class Living:
    """A source of ``machine`` while a test runs, and what it told."""

    def __init__(self, folder: Path, machine: SecureMachine, monkeypatch: pytest.MonkeyPatch, **more: Any) -> None:
        self.told: list[Any] = []
        monkeypatch.setattr("shinkei_gateway.opcua.security.emit", self.told.append)
        source, self.pki, self.security = secured(folder, machine.url, **more)
        self.intake = FakeIntake()
        self.source = OpcuaMachine("src", source, self.intake, security=self.security)
        self._stop = asyncio.Event()

    async def __aenter__(self) -> Living:
        self._task = asyncio.create_task(self.source.run(self._stop))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        await asyncio.wait_for(self._task, 60)

    async def refused(self, status: str) -> str:
        """Until it is; why."""
        await eventually_async(lambda: self.source.health()["security"].get("refused", {}).get("status") == status, 30)
        return str(self.source.health()["security"]["refused"]["why"])

    async def connected(self, times: int = 1) -> None:
        await eventually_async(
            lambda: self.source.health()["connected"] and self.source.health()["connections"] >= times, 30
        )

    def session(self) -> Session:
        found = self.source._session
        assert found is not None
        return found

    def refusals(self) -> list[str]:
        return [event.status for event in self.told if type(event).__name__ == "ConnectionRefused"]
