"""The live board in a real browser: it moves without a reload, turns when a machine stops, says how old its data are, and never leaves home."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from shinkei_events.embedded_log import EmbeddedLog
from shinkei_events.model.machine import State
from shinkei_store.pool import connect
from tests.support.browser import Chromium
from tests.support.line_on_log import LineOnLog, write_plant
from tests.support.parts import PartProcess
from tests.support.ports import free_port
from tests.support.postgres import EmbeddedServer
from tests.support.recorded_line import add_alarm, add_anomaly, record_line
from tests.support.store import migrated
from tests.support.waiting import eventually, patient

OPEN_WITHIN_S = 60.0
TURNS_WITHIN_S = 2.0
STALE_WITHIN_S = 10.0
"""Both on a machine of its own; this test shares its machine, so it asserts the median of the turns, and the rest with room."""
ROUNDS = 3
"""A shared machine may be slow for one round of turns; a board that is slow is so in all of them."""
TURNS: tuple[tuple[State, str], ...] = (
    ("ABORTED", "fault"),
    ("EXECUTE", "run"),
    ("HELD", "act"),
    ("SUSPENDED", "wait"),
    ("STOPPED", "act"),
    ("ABORTED", "fault"),
)
CUT = """() => {
  const inside = (node) => [node, ...(node.shadowRoot ? [...node.shadowRoot.querySelectorAll('*')].flatMap(inside) : [])];
  const said = '.what, .figure, .unit, .note, .label, .value, .name, .word, .since, .why, .odd, .old, .part, .text, .much';
  return [...document.querySelectorAll('*')].flatMap(inside).filter((node) => node.matches(said) && node.clientWidth > 0)
    .filter((node) => node.scrollWidth > node.clientWidth + 1 || getComputedStyle(node).textOverflow === 'ellipsis')
    .map((node) => node.className + ': ' + node.textContent);
}"""
"""Texts of the board that their boxes cut."""
OVER = """() => [...document.querySelectorAll('.tile')].filter((tile) => {
  const edge = tile.getBoundingClientRect();
  return [...tile.querySelectorAll('.figure, .unit')].some((node) => node.getBoundingClientRect().right > edge.right + 1);
}).map((tile) => tile.textContent)"""
"""Tiles with a figure or unit beyond their edge."""
AGE = "() => Number(document.querySelector('.st-key-shinkei_pulse').textContent.match(/(\\d+) s old/)?.[1] ?? -1)"


@pytest.fixture
def board(tmp_path: Path, embedded_server: EmbeddedServer) -> Iterator[SimpleNamespace]:
    """A line that speaks on an embedded log, a database with an open alarm, and the screens as a process of their own."""
    port = free_port()
    plant = write_plant(tmp_path / "plant.toml", {"port": port}, migrated(embedded_server))
    numbering = record_line(plant, minutes=3)
    since = time.time_ns() - 30 * 10**9
    with connect(plant, "detect") as conn:
        add_anomaly(conn, "anomaly-1", "OP20", str(numbering.stream("OP20", 0)), since, None)
    with connect(plant, "alerts") as conn:
        add_alarm(conn, "alarm-1", "OP20", since, "anomaly-1")
    log = EmbeddedLog(plant.dir)
    log.start()
    line = LineOnLog(plant).start()
    ui = PartProcess("ui", plant.path, plant.dir)
    ui.start(60)
    try:
        yield SimpleNamespace(line=line, ui=ui, plant=plant, url=f"http://127.0.0.1:{port}/?lang=en")
    finally:
        ui.stop()
        line.stop()
        log.stop()


def test_the_board_lives(board: SimpleNamespace, chromium: Chromium, capsys: pytest.CaptureFixture[str]) -> None:
    screen = chromium.screen()
    screen.open(board.url)
    page = screen.page
    op20 = page.locator(".tile", has_text="OP20")
    op20.wait_for(timeout=OPEN_WITHIN_S * 1000)
    page.evaluate("window.still_here = true")
    assert page.locator(".tile").count() == 8

    value = op20.locator(".lead .figure")
    before = value.inner_text()
    eventually(lambda: value.inner_text() not in (before, "–"), 5)

    def turns() -> list[float]:
        found = []
        for state, level in TURNS:
            board.line.stop_machine("OP20", state)
            began = time.monotonic()
            eventually(lambda wanted=level: op20.get_attribute("data-level") == wanted, TURNS_WITHIN_S, every=0.005)
            found.append(time.monotonic() - began)
        return found

    for _ in range(ROUNDS):
        took = turns()
        if sorted(took)[len(took) // 2] <= TURNS_WITHIN_S:
            break
        board.line.stop_machine("OP20", "EXECUTE")  # each turn of the next round is one again
        eventually(lambda: op20.get_attribute("data-level") == "run", TURNS_WITHIN_S)
    with capsys.disabled():
        print(
            f"\nui: change on the log to the tile: median {sorted(took)[len(took) // 2] * 1000:.0f} ms, worst {max(took) * 1000:.0f} ms"
        )
    assert sorted(took)[len(took) // 2] <= TURNS_WITHIN_S
    eventually(lambda: "Fault" in op20.inner_text())

    assert page.evaluate("window.still_here") is True
    assert screen.seen.errors == []
    assert screen.seen.abroad() == []
    assert not [url for url in screen.seen.failed if "ERR_ABORTED" not in url]
    screen.close()


def test_it_says_how_old_its_data_are_and_comes_back(board: SimpleNamespace, chromium: Chromium) -> None:
    screen = chromium.screen()
    screen.open(board.url)
    page = screen.page
    page.locator(".tile").first.wait_for(timeout=OPEN_WITHIN_S * 1000)
    eventually(lambda: page.locator(".age").get_attribute("data-is") == "live", 10)
    board.line.silence()
    began = time.monotonic()
    eventually(lambda: page.locator(".age").get_attribute("data-is") == "stale", STALE_WITHIN_S)
    assert time.monotonic() - began <= patient(STALE_WITHIN_S)
    said = page.locator(".age").inner_text()
    assert said.startswith("data ")
    assert said.endswith(" s old")
    assert int(said.split()[1]) >= 5
    # The board looks at the age by a clock of its own.
    eventually(lambda: page.locator(".board").get_attribute("data-stale") == "true")
    eventually(lambda: page.locator(".tile[data-stale=true]").count() == 8)
    op20 = page.locator(".tile", has_text="OP20")
    part, old = op20.locator(".part").bounding_box(), op20.locator(".old").bounding_box()
    assert part is not None
    assert old is not None
    assert old["y"] + old["height"] <= part["y"] + 1  # the age stands beside the part's number, never on it
    last = op20.locator(".lead .figure").inner_text()
    assert last not in ("", "–")  # the last value stays, hatched
    board.line.speak()
    eventually(lambda: page.locator(".age").get_attribute("data-is") == "live", 10)
    eventually(lambda: page.locator(".board").get_attribute("data-stale") == "false", 5)
    screen.close()


def test_an_alarm_is_acknowledged_by_one_button(board: SimpleNamespace, chromium: Chromium) -> None:
    screen = chromium.screen()
    screen.open(board.url)
    button = screen.page.locator(".card .ack")
    button.wait_for(timeout=OPEN_WITHIN_S * 1000)
    assert "spindle torque is high" in screen.page.locator(".card").inner_text()
    button.press("Enter")

    def decided() -> list[tuple[str, str]]:
        with connect(board.plant, "ui") as conn:
            return conn.execute("select type, key from outbox where part = 'ui'").fetchall()

    eventually(decided, 15)
    assert decided() == [("shinkei.decision.acknowledged.v1", "OP20")]
    screen.close()


def test_a_page_opened_by_its_address_has_nothing_to_complain_of(board: SimpleNamespace, chromium: Chromium) -> None:
    screen = chromium.screen()
    for name in ("inbox", "health"):
        screen.open(board.url.replace("?", f"{name}?"))
        screen.page.locator(".clock").wait_for(timeout=OPEN_WITHIN_S * 1000)
        eventually(lambda: screen.page.locator(".age").get_attribute("data-is") == "live", 10)
    assert screen.seen.errors == []
    assert not [url for url in screen.seen.failed if "ERR_ABORTED" not in url]
    screen.close()


def test_the_board_survives_a_new_server(board: SimpleNamespace, chromium: Chromium) -> None:
    screen = chromium.screen()
    screen.open(board.url)
    page = screen.page
    op20 = page.locator(".tile", has_text="OP20")
    op20.wait_for(timeout=OPEN_WITHIN_S * 1000)
    board.ui.kill()
    eventually(lambda: page.locator(".age").get_attribute("data-is") == "stale", STALE_WITHIN_S + 5)
    board.ui.start(60)
    eventually(lambda: page.locator(".age").get_attribute("data-is") == "live", 30)
    board.line.stop_machine("OP20", "ABORTED")
    eventually(lambda: op20.get_attribute("data-level") == "fault", 10)
    screen.close()


def test_no_word_and_no_unit_is_cut(board: SimpleNamespace, chromium: Chromium) -> None:
    for language in ("en", "ja"):
        screen = chromium.screen(1440, 900)
        screen.open(board.url.replace("lang=en", f"lang={language}"))
        page = screen.page
        page.locator(".tile").nth(7).wait_for(timeout=OPEN_WITHIN_S * 1000)
        eventually(lambda page=page: "–" not in page.locator(".tile .lead .figure").all_inner_texts(), 20)
        for width, height in ((1440, 900), (1280, 800)):
            page.set_viewport_size({"width": width, "height": height})
            assert page.evaluate(CUT) == []
            assert page.evaluate(OVER) == []
        screen.close()


@pytest.mark.parametrize(("width", "height"), [(1920, 1080), (1280, 800), (390, 844)])
def test_it_fits_wall_desk_and_pocket(board: SimpleNamespace, chromium: Chromium, width: int, height: int) -> None:
    screen = chromium.screen(width, height)
    screen.open(board.url)
    page = screen.page
    page.locator(".tile").first.wait_for(timeout=OPEN_WITHIN_S * 1000)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    boxes = [box for at in range(8) if (box := page.locator(".tile").nth(at).bounding_box())]
    assert len(boxes) == 8
    assert all(box["x"] >= 0 and box["x"] + box["width"] <= width for box in boxes)
    if width >= 1900:
        assert all(box["y"] + box["height"] <= height for box in boxes)
    if width < 640:
        alarm, first = page.locator(".alarms").bounding_box(), boxes[0]
        assert alarm is not None
        assert alarm["y"] < first["y"]
    screen.close()


def test_two_tabs_share_one_connection(board: SimpleNamespace, chromium: Chromium) -> None:
    screen = chromium.screen()
    screen.open(board.url)
    screen.page.locator(".tile").first.wait_for(timeout=OPEN_WITHIN_S * 1000)
    other = screen.page.context.new_page()
    other.goto(board.url)
    other.locator(".tile").first.wait_for(timeout=OPEN_WITHIN_S * 1000)
    health = eventually(lambda: (board.ui.health() or {}).get("details"), 5)
    assert health["listeners"] == 1
    screen.close()
    eventually(lambda: (found := board.ui.health()) and found["details"]["listeners"] == 0, 10)
