"""Which step of the ladder is taken: the old session, its subscription handed over, or a new one; and never another client's."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from asyncua import ua
from asyncua.ua.ua_binary import nodeid_to_binary

from shinkei_events.errors import BadInput, NotConnected
from shinkei_events.settings import strict
from shinkei_gateway.opcua.decode import Message, Published
from shinkei_gateway.opcua.ladder import Ladder
from shinkei_gateway.opcua.nodes import Nodes
from shinkei_gateway.opcua.old_session import is_guessable
from shinkei_gateway.opcua.plan import plan
from shinkei_gateway.opcua.publish_loop import Publishing
from shinkei_gateway.opcua.remembered import Remembered
from shinkei_gateway.opcua.session import Session, SubscriptionGone
from shinkei_gateway.opcua.settings import OpcuaSource
from shinkei_gateway.opcua.signals import Signals
from shinkei_gateway.opcua.translate import Translator

SETTINGS = strict(
    {"type": "opcua", "url": "opc.tcp://127.0.0.1:4840", "machine": "M1", "security": "none", "signals": [{"node": "s=a", "name": "a"}]},
    OpcuaSource,
    "x",
)  # fmt: skip
COUNTED, RANDOM = (
    nodeid_to_binary(ua.NodeId(1001)),
    nodeid_to_binary(ua.NodeId(b"\x17" * 32, 0, ua.NodeIdType.ByteString)),
)


class Server:
    """A connected session of a server that has subscription 7 in session ``owner`` ("this", "other" or "" for none)."""

    def __init__(self, owner: str, *, is_old: bool, started: float = 100.0, kept: tuple[int, ...] = ()) -> None:
        self.owner, self.is_old, self.started, self.kept = owner, is_old, started, kept
        self.asked: list[str] = []

    def remember(self, into: Remembered) -> None:
        into.started = self.started

    async def transfer(self, subscription: int) -> list[int] | None:
        self.asked.append("transfer")
        if self.owner != "other":
            return None
        self.owner = "this"
        return list(self.kept)

    async def republish(self, subscription: int, sequence: int) -> Message | None:
        self.asked.append(f"republish {sequence}")
        if self.owner != "this":
            raise SubscriptionGone("BadSubscriptionIdInvalid")
        return Message(sequence, None, [], [], None, []) if sequence in self.kept else None

    async def forget(self, subscription: int) -> None:
        self.asked.append("forget")

    async def subscribe(self, publishing: float, keepalive: float) -> Any:
        self.asked.append("subscribe")
        raise NotConnected("the test ends here")


class Nobody:
    """Listens."""

    def take(self, message: Message) -> asyncio.Future[None] | None:
        return None

    def alive(self, published: Published, proves: bool) -> None: ...

    async def lost(self, sequences: list[int]) -> None: ...

    def unreadable(self, error: BadInput) -> None: ...

    def has_room(self) -> bool:
        return True


class NoSignals:
    """Asks nothing."""

    async def before(self, session: Any) -> None: ...


def climbed(server: Server, token: bytes = COUNTED) -> Ladder:
    items = plan(SETTINGS)
    translator = Translator("src", SETTINGS, items, None, 0)
    ladder = Ladder(SETTINGS, items, None, Nodes("src", items, translator), translator, cast(Signals, NoSignals()), {})
    ladder.remembered.subscription, ladder.remembered.token, ladder.remembered.started = 7, token, 100.0
    ladder.state = Publishing(7, 4)
    try:
        asyncio.run(ladder.climb(cast(Session, server), Nobody()))
    except NotConnected as error:
        server.asked.append(str(error))
    return ladder


def test_the_old_session_goes_on_with_what_waits() -> None:
    server = Server("this", is_old=True, kept=(5, 6))
    ladder = climbed(server)
    assert (server.asked, ladder.resumptions) == (["republish 5", "republish 6", "republish 7"], 1)


def test_a_session_whose_transfer_was_never_answered_asks_for_it_again() -> None:
    server = Server("other", is_old=True, kept=(5,))
    ladder = climbed(server)
    assert (server.asked, ladder.resumptions) == (["republish 5", "transfer", "republish 5"], 1)
    assert ladder.state is not None
    assert ladder.state.last == 5


def test_a_subscription_that_is_gone_is_made_anew() -> None:
    for is_old in (True, False):
        server = Server("", is_old=is_old)
        climbed(server)
        assert "transfer" in server.asked
        assert "subscribe" in server.asked


@pytest.mark.parametrize("owner", ["this", "other", ""])
def test_a_counted_token_that_a_restarted_server_takes_is_not_believed(owner: str) -> None:
    """It may open another client's session, whose subscription has our number as well: nothing is asked of either."""
    server = Server(owner, is_old=True, started=200.0, kept=(5,))
    ladder = climbed(server)
    assert server.asked == ["the server was started anew and counts its sessions: the old one may be another client's"]
    assert ladder.remembered.token == b""
    again = Server(owner, is_old=False, started=200.0)
    assert ladder.remembered.started == 100.0, "the next attempt must still know that it is another start"
    ladder2 = climbed(again)
    assert again.asked[0] == "subscribe"
    assert ladder2.state is None, "what comes next has to prove that nothing is missing"


def test_a_random_token_that_a_restarted_server_takes_is_ours_and_proves_it_by_the_subscription() -> None:
    server = Server("this", is_old=True, started=200.0, kept=(5,))
    assert climbed(server, RANDOM).resumptions == 1
    gone = Server("other", is_old=True, started=200.0)
    climbed(gone, RANDOM)
    assert gone.asked[:3] == ["republish 5", "forget", "subscribe"], (
        "never transferred: the number is another client's by now"
    )


def test_which_tokens_can_be_guessed() -> None:
    assert is_guessable(COUNTED)
    assert is_guessable(nodeid_to_binary(ua.NodeId("session 12", 1)))
    assert not is_guessable(RANDOM)
