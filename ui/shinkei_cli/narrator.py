"""Tells people in short lines what the supervisor does, in their language. Used by `shinkei run` and `shinkei demo`."""

from __future__ import annotations

import contextlib
import json
import signal
import sys
from pathlib import Path
from typing import Any

from shinkei_cli.output import say
from shinkei_cli.supervisor import News
from shinkei_cli.words import Words


class Narrator:
    """A `supervisor.Tell` that speaks. A terminal that has gone away is no error: the parts are ended all the same."""

    def __init__(self, words: Words) -> None:
        self._words = words
        self._been_ready: set[str] = set()

    def __call__(self, news: News, name: str, about: dict[str, Any]) -> None:
        title = self._words.part(name)
        if news is News.READY:
            self.say("ready_again" if name in self._been_ready else "ready", title=title, **about)
            self._been_ready.add(name)
        elif news is News.CRASHED:
            self.say("crashed", title=title, again_in=about["again_in"], code=how(about["code"]), last=why(about)[:160])
        elif news is News.GAVE_UP:
            self.say("gave_up", title=title, log=about["log"], last=why(about)[:300])
        elif news is News.KILLED:
            self.say("killed", title=title)

    def say(self, key: str, **values: object) -> None:
        """One line."""
        with contextlib.suppress(OSError):
            say(self._words(key, **values), sys.stdout)

    def waiting(self, names: list[str], logs: Path) -> None:
        """That the start takes long, for whom, and where to look."""
        self.say("slow", names=self._words.parts(names), logs=logs)


def how(code: int) -> str:
    """An exit code, or the name of the signal that ended the process."""
    try:
        return str(code) if code >= 0 else signal.Signals(-code).name
    except ValueError:
        return str(code)


def why(about: dict[str, Any]) -> str:
    """The last words of a process that ended by itself, without the clothes of a log line."""
    if about["code"] < 0:
        return ""
    last = str(about["last"])
    with contextlib.suppress(ValueError):
        found = json.loads(last)
        return str(found.get("text", last)) if isinstance(found, dict) else last
    return last.removeprefix("shinkei: ")
