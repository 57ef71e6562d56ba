"""plant.toml is strict: every mistake names its key."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest

from shinkei_events.errors import BadConfig
from shinkei_events.settings import Duration, Secret, Size, load_plant, section, strict

GOOD = """
[site]
id = "demo"
[gateway]
id = "gw"
age = "100ms"
[[machines]]
name = "OP10"
path = "demo/pumps/line1/OP10"
[[characteristics]]
product = "P"
operation = "OP60"
characteristic = "leak"
usl = 3.0
"""


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: str
    age: Duration = Duration(1.0)
    room: Size = Size(10)


def load(tmp_path: Path, text: str) -> object:
    path = tmp_path / "plant.toml"
    path.write_text(text)
    return load_plant(path, tmp_path / "x")


def test_good_file(tmp_path: Path) -> None:
    plant = load(tmp_path, GOOD)
    assert section(plant, "gateway", Part) == Part("gw", Duration(0.1))  # type: ignore[arg-type]
    assert plant.master["characteristics"][0].name == "P/OP60/leak"  # type: ignore[attr-defined]
    assert len(plant.documents()) == 2  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "key"),
    [("site = 3", "site"), ("[site]\nid='x'\ncolour='red'", "site"), ("[site]\nid='x'\n[oops]\n", "oops"), ("[site\n", "plant.toml"),
     ("[site]\nid='x'\n[[machines]]\nname='a'\npath='p'\nspeed=1", "machines[0].speed"),
     ("[site]\nid='x'\n[[machines]]\nname='a'\npath='p'\n[[machines]]\nname='a'\npath='q'", "machines"),
     ("[site]\nid='x'\n[store]\npassword='hunter2'", "store.password"), ("[site]\nid='x'\n[store]\ncommit_every='soon'", "store.commit_every")],
)  # fmt: skip
def test_mistakes_name_their_key(tmp_path: Path, text: str, key: str) -> None:
    with pytest.raises(BadConfig) as caught:
        load(tmp_path, text)
    assert key in caught.value.field
    assert "hunter2" not in str(caught.value)


def test_part_sections_are_strict(tmp_path: Path) -> None:
    plant = load(tmp_path, GOOD.replace('age = "100ms"', "age = 100"))
    with pytest.raises(BadConfig) as caught:
        section(plant, "gateway", Part)  # type: ignore[arg-type]
    assert caught.value.field == "gateway.age"


def test_secrets_hide_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pw").write_text("s3cret\n")
    monkeypatch.setenv("PW", "other")
    assert Secret("file:pw").reveal(tmp_path) == "s3cret"
    assert Secret("env:PW").reveal() == "other"
    assert "pw" not in repr(Secret("file:pw"))
    with pytest.raises(BadConfig, match="PW2"):
        Secret("env:PW2").reveal()


@pytest.mark.parametrize(
    ("text", "seconds"), [("100ms", 0.1), ("5s", 5.0), ("10m", 600.0), ("24h", 86400.0), ("1.5 h", 5400.0)]
)
def test_durations(text: str, seconds: float) -> None:
    assert Duration.parse(text) == pytest.approx(seconds)
    assert Size.parse("2GiB") == 2 * 2**30
    with pytest.raises(ValueError, match="unit"):
        Duration.parse("5")


class Quick(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="quick"):
    mode: Literal["oldest", "newest"] = "oldest"
    level: Literal[0, 1, 2] = 1
    names: dict[str, Literal["RUN", "STOP"]] = {}


class Slow(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="slow"):
    password: Secret | None = None
    machine: str = ""


class Both(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    parts: list[Quick | Slow]
    by_kind: dict[Literal["quick", "slow"], int] = {}


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ({"type": "quick", "mode": "oldst"}, "s.parts[0].mode = 'oldst': one of \"newest\", \"oldest\"; did you mean oldest?"),
        ({"type": "quick", "level": 3}, "s.parts[0].level = 3: one of 0, 1, 2"),
        ({"type": "quick", "names": {"1": "RUN", "2": "STPO"}}, "s.parts[0].names.2 = 'STPO': one of \"RUN\", \"STOP\"; did you mean STOP?"),
        ({"type": "quck"}, "s.parts[0].type = 'quck': one of \"quick\", \"slow\"; did you mean quick?"),
        ({"mode": "oldest"}, 's.parts[0].type: is missing; one of "quick", "slow"'),
        ({"type": "slow", "passwort": "hunter2"}, "s.parts[0].passwort: unknown key; known are password, machine, type; did you mean password?"),
        ({"type": "slow", "x": 1}, "s.parts[0].x: unknown key; known are password, machine, type"),
        ({"type": "slow", "machine": 5}, "s.parts[0].machine = 5: Expected `str`, got `int`"),
    ],
)  # fmt: skip
def test_mistakes_name_what_is_allowed_and_the_nearest(part: dict[str, Any], words: str) -> None:
    with pytest.raises(BadConfig) as caught:
        strict({"parts": [part]}, Both, "s")
    assert str(caught.value) == words


def test_mistakes_of_the_table_itself() -> None:
    for raw, words in (
        ({}, "s.parts: is missing"),
        (
            {"parts": [], "by_kind": {"quik": 1}},
            "s.by_kind.quik: unknown key; known are quick, slow; did you mean quick?",
        ),
        ({"parts": [], "part": 1}, "s.part: unknown key; known are parts, by_kind; did you mean parts?"),
        (3, "s = 3: Expected `object`, got `int`"),
    ):
        with pytest.raises(BadConfig) as caught:
            strict(raw, Both, "s")
        assert str(caught.value) == words
