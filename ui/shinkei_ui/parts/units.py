"""Units as links and words. Pure but for the master data it reads titles from."""

from __future__ import annotations

import re
from collections import Counter

from shinkei_trace.query import Answer
from shinkei_ui.installed import Installed
from shinkei_ui.parts.tables import Link
from shinkei_ui.words import Words

CHANNELS = ("state", "energy", "setup", "operation", "cycle")
_UNSAFE = re.compile(r"[^\w.-]+")


def link_of(type: str, serial: str) -> Link:
    """To the unit's own page."""
    return Link(serial, "part", {"unit": serial, "kind": type})


def titles_of(found: Installed, words: Words) -> dict[str, str]:
    """Titles of products by item number."""
    return {product.name: words.title(product.title, product.name) for product in found.plant.master["products"]}


def counted(answer: Answer, words: Words, titles: dict[str, str]) -> list[tuple[str, int]]:
    """How many units an answer holds, kind by kind; a kind of several items is counted item by item.

    48 pumps and the 144 components mounted in them are not "192 parts": a customer is told the first number.
    """
    nodes = [node for node in answer.nodes if node.depth]
    items: dict[str, Counter[str | None]] = {}
    for node in nodes:
        items.setdefault(node.type, Counter())[node.item] += 1
    found: list[tuple[str, int]] = []
    for kind, of_item in items.items():
        many = words.get(f"unit.many.{kind}", kind)
        if len(of_item) == 1 or kind not in {"serial", "container"}:
            found.append((many, of_item.total()))
        else:
            found += [(titles.get(item, item) if item else many, count) for item, count in of_item.items()]
    return found


def machine_title(found: Installed, words: Words, machine: str) -> str:
    """``OP20 Machining``."""
    known = next((each for each in found.plant.machines if each.name == machine), None)
    title = words.title(known.title) if known else ""
    return f"{machine} {title}".strip()


def reason_title(found: Installed, words: Words, reason: str | None) -> str:
    """A stop reason in words."""
    known = next((each for each in found.plant.master["reasons"] if each.name == reason), None)
    return words.title(known.title, reason or "") if known else reason or ""


def signal_title(found: Installed, words: Words, machine: str, signal: str) -> tuple[str, str | None]:
    """A signal's title, and its unit: plant.toml's, else the one that the source gives. Raises `NotConnected`."""
    known = next((each for each in found.plant.signals if each.machine == machine and each.signal == signal), None)
    unit = known.unit if known else None
    return words.title(known.title, signal) if known else signal, unit or found.reader.own_units().get(
        (machine, signal)
    )


def characteristic_title(found: Installed, words: Words, machine: str, name: str) -> str:
    """What is measured at a machine, in words; its own name where the master data have no title."""
    at = next((each.operation for each in found.plant.machines if each.name == machine), None) or machine
    titles = (
        each.title
        for each in found.plant.master["characteristics"]
        if each.operation == at and each.characteristic == name
    )
    return words.title(next(titles, {}), name.replace("_", " "))


def channel_title(found: Installed, words: Words, machine: str, channel: str) -> str:
    """A channel of a gap in words: a signal's title; for a machine's other nodes (``@cycle``, ``@cycle.leak_rate``) what they tell."""
    if not channel.startswith("@"):
        return signal_title(found, words, machine, channel)[0]
    name, _, reading = channel[1:].partition(".")
    if any(each.characteristic == reading for each in found.plant.master["characteristics"]):
        return characteristic_title(found, words, machine, reading)
    kind = next((kind for kind in CHANNELS if kind in name.lower()), "")
    return words(f"gap.channel.{kind}") if kind else channel[1:]


def place_of(serial: str) -> str:
    """A serial number as part of a file name."""
    return _UNSAFE.sub("_", serial)[:60]
