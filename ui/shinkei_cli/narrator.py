"""Tells people in short lines what the supervisor does, in their language. Used by `shinkei run` and `shinkei demo`."""

from __future__ import annotations

import contextlib
import json
import signal
import sys
from pathlib import Path
from typing import Any

from shinkei_cli.disk_watch import free_bytes
from shinkei_cli.output import say
from shinkei_cli.supervisor import News
from shinkei_cli.words import Words

STUCK_AFTER, STUCK_AGAIN = 3, 30
"""Starts in vain, one after the other, after which it is said what to look at; and again after so many (5 min apart)."""


class Narrator:
    """A `supervisor.Tell` that speaks. A terminal that has gone away is no error: the parts are ended all the same."""

    def __init__(self, words: Words) -> None:
        self._words = words
        self._been_ready: set[str] = set()

    def __call__(self, news: News, name: str, about: dict[str, Any]) -> None:
        if news in (News.DISK_FULL, News.DISK_ROOM):
            self.say(news.value, folder=about["folder"], free=about["free"] / 1e6)
            return
        title = self._words.part(name)
        if news is News.READY:
            self.say("ready_again" if name in self._been_ready else "ready", title=title, **about)
            self._been_ready.add(name)
        elif news is News.CRASHED:
            self._crashed(title, about)
        elif news is News.GAVE_UP:
            self.say("gave_up", title=title, log=about["log"], last=why(about)[:300])
        elif news is News.KILLED:
            self.say("killed", title=title)

    def _crashed(self, title: str, about: dict[str, Any]) -> None:
        """Every end, but of a part that never becomes ready only the first and then, now and again, that it does not."""
        in_vain, last = about["in_vain"], why(about)[:300]
        if in_vain < STUCK_AFTER:
            self.say("crashed", title=title, again_in=about["again_in"], code=how(about["code"]), last=last)
        elif in_vain == STUCK_AFTER or in_vain % STUCK_AGAIN == 0:
            free = (free_bytes(about["log"].parent) or 0) / 1e6
            folder = about["log"].parent.parent
            self.say(
                "stuck",
                title=title,
                times=in_vain,
                last=last or how(about["code"]),
                folder=folder,
                free=free,
                log=about["log"],
            )

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
    if about["code"] <= 0:
        return ""
    last = str(about["last"])
    with contextlib.suppress(ValueError):
        found = json.loads(last)
        return str(found.get("text", last)) if isinstance(found, dict) else last
    return last.removeprefix("shinkei: ")
