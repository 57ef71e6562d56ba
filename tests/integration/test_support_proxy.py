"""The proxy does to connections what a network does."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.support.proxy import Proxy
from tests.support.waiting import stays


@pytest.fixture
def echo() -> Iterator[int]:
    """A server that sends back what it gets; its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(client: socket.socket) -> None:
        with client:
            try:
                while content := client.recv(65_536):
                    client.sendall(content)
            except OSError:
                return

    def accept() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(client,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(60)


def dial(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=60)


def said_back(client: socket.socket, content: bytes) -> bytes:
    client.sendall(content)
    return heard(client, len(content))


def heard(client: socket.socket, count: int) -> bytes:
    """``count`` bytes, or fewer when the other side has ended."""
    found = b""
    while len(found) < count and (more := client.recv(count - len(found))):
        found += more
    return found


def test_everything_passes_whole_in_both_directions(echo: int, proxy_to: Callable[[int], Proxy]) -> None:
    proxy = proxy_to(echo)
    content = bytes(range(256)) * 20_000
    with dial(proxy) as client:
        sender = threading.Thread(target=client.sendall, args=(content,))
        sender.start()
        assert heard(client, len(content)) == content
        sender.join(60)
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""
    assert proxy.passed_bytes == 2 * len(content)


def test_cut_resets_connections_and_refuses_new_ones_until_restored(
    echo: int, proxy_to: Callable[[int], Proxy]
) -> None:
    proxy = proxy_to(echo)
    with dial(proxy) as client:
        assert said_back(client, b"before") == b"before"
        proxy.cut()
        with pytest.raises(ConnectionError):
            said_back(client, b"lost")
    with pytest.raises(ConnectionRefusedError):
        dial(proxy)
    proxy.restore()
    with dial(proxy) as client:
        assert said_back(client, b"after") == b"after"


def test_hang_keeps_connections_and_passes_nothing_until_restored(echo: int, proxy_to: Callable[[int], Proxy]) -> None:
    proxy = proxy_to(echo)
    with dial(proxy) as client, dial(proxy) as late:
        assert said_back(client, b"before") == b"before"
        proxy.hang()
        passed = proxy.passed_bytes
        client.sendall(b"held")
        late.sendall(b"too")
        stays(lambda: proxy.passed_bytes == passed, 0.2)
        client.settimeout(0.05)
        with pytest.raises(TimeoutError):
            client.recv(1)
        client.settimeout(60)
        proxy.restore()
        assert heard(client, 4) == b"held"
        assert heard(late, 3) == b"too"


def test_delay_holds_everything_for_that_long_each_way(echo: int, proxy_to: Callable[[int], Proxy]) -> None:
    proxy = proxy_to(echo)
    with dial(proxy) as client:
        assert said_back(client, b"at once") == b"at once"
        proxy.delay(0.15)
        began = time.monotonic()
        assert said_back(client, b"slowly") == b"slowly"
        assert time.monotonic() - began >= 0.3
        proxy.delay(0)
        assert said_back(client, b"at once") == b"at once"


def test_drop_resets_what_there_is_and_accepts_again(echo: int, proxy_to: Callable[[int], Proxy]) -> None:
    proxy = proxy_to(echo)
    with dial(proxy) as client:
        assert said_back(client, b"x") == b"x"
        proxy.drop()
        with pytest.raises(ConnectionError):
            said_back(client, b"lost")
    with dial(proxy) as client:
        assert said_back(client, b"y") == b"y"
    assert proxy.connections == 2


def test_a_target_that_is_not_there_resets_the_caller(proxy_to: Callable[[int], Proxy]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    proxy = proxy_to(port)
    with pytest.raises(ConnectionError), dial(proxy) as client:
        said_back(client, b"x")


def test_an_idle_proxy_costs_next_to_nothing(echo: int, proxy_to: Callable[[int], Proxy]) -> None:
    proxy = proxy_to(echo)
    with dial(proxy) as client:
        said_back(client, b"x")
        before = time.process_time()
        stays(lambda: True, 0.5, every=0.25)
        assert time.process_time() - before < 0.4, "it turns without waiting: that takes all of a core"
