"""What a page says: what is wrong, in words, with value and reference, in the languages of the plant. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo

from shinkei_alerts.lifecycle import Alarm
from shinkei_events.model.anomaly import AnomalyChanged
from shinkei_events.model.machine import MachineStateChanged
from shinkei_events.model.master import Condition

_SINCE = {"ja": "{time} から", "en": "since {time}"}
_AGAINST = {"ja": "{signal} {observed} (通常 {reference})", "en": "{signal} {observed} (normally {reference})"}
_NO_DATA = {"ja": "データなし", "en": "no data"}
_QUALITY = {"ja": "データ品質", "en": "data quality"}
_ACTION = {"ja": "対処", "en": "do"}
_STATES = {
    "HOLDING": {"ja": "一時停止", "en": "held"},
    "HELD": {"ja": "一時停止", "en": "held"},
    "SUSPENDING": {"ja": "前後工程待ち", "en": "waiting"},
    "SUSPENDED": {"ja": "前後工程待ち", "en": "waiting"},
    "STOPPING": {"ja": "停止", "en": "stopped"},
    "STOPPED": {"ja": "停止", "en": "stopped"},
    "ABORTING": {"ja": "故障", "en": "fault"},
    "ABORTED": {"ja": "故障", "en": "fault"},
}
"""What people call the states that stop a machine; others are said by their PackML names."""
_LATE = {"ja": "{minutes} 分前から", "en": "{minutes} min ago"}
LATE_NS = 60 * 10**9
"""A page about something that began longer ago comes late, and is sent only if it still holds."""


Titles = Mapping[str, Mapping[str, str]]
"""By name (of a reason; ``machine/signal``), then by language."""


def of_anomaly(
    event: AnomalyChanged, condition: Condition, signals: Titles, languages: tuple[str, ...]
) -> dict[str, str]:
    """Title, leading signal in the plant's words, observed against reference."""
    return {language: _anomaly(event, condition, signals, language) for language in languages}


def _anomaly(event: AnomalyChanged, condition: Condition, signals: Titles, language: str) -> str:
    title = _title(condition, language, event.machine, _QUALITY if event.finding == "data_quality" else {})
    if not event.signals:
        return title
    lead = event.signals[0]
    name = signals.get(f"{event.machine}/{lead.signal}", {}).get(language) or lead.signal
    if lead.observed is None or lead.reference is None:
        return f"{title}: {name}"
    unit = f" {lead.unit}" if lead.unit else ""
    shown = _AGAINST.get(language, _AGAINST["en"]).format(
        signal=name, observed=f"{lead.observed:.4g}{unit}", reference=f"{lead.reference:.4g}{unit}"
    )
    return f"{title}: {shown}"


def _title(condition: Condition, language: str, machine: str, otherwise: Mapping[str, str]) -> str:
    """The condition's title; ``{machine}`` in it stands for the machine's id."""
    return (condition.title.get(language) or otherwise.get(language) or condition.name).replace("{machine}", machine)


def of_state(
    event: MachineStateChanged,
    condition: Condition,
    reasons: Titles,
    languages: tuple[str, ...],
) -> dict[str, str]:
    """Title, and the reason in the plant's words; where the machine gives none, the state, unless the condition is of this one alone."""
    found = {}
    for language in languages:
        title = _title(condition, language, event.machine, _NO_DATA if event.state == "NO_DATA" else {})
        why = reasons.get(event.reason or "", {}).get(language) or event.reason
        if not why and not (condition.title.get(language) and condition.states == [event.state]):
            why = "" if event.state == "NO_DATA" else _state(event.state, language)
        found[language] = f"{title}: {why}" if why else title
    return found


def _state(state: str, language: str) -> str:
    return _say(_STATES[state], language) if state in _STATES else state


def of_gateway(name: str, condition: Condition, since: int, languages: tuple[str, ...], zone: tzinfo) -> dict[str, str]:
    """Which gateway, and since when (ns UTC) nobody has heard of it."""
    return {
        language: f"{_title(condition, language, name, {})} – {_say(_SINCE, language).format(time=_clock(since, zone))}"
        for language in languages
    }


def page(alarm: Alarm, condition: Condition | None, language: str, now: int, zone: tzinfo = UTC) -> tuple[str, str]:
    """Title and body of a page: at most five lines. ``now`` (ns UTC): a page about something older than a minute says how old it is."""
    began = alarm.active_since or alarm.since
    what = alarm.text.get(language) or next(iter(alarm.text.values()), alarm.condition)
    title = f"{alarm.priority} {what if alarm.machine in what else f'{alarm.machine} {what}'}"
    first = _say(_SINCE, language).format(time=_clock(began, zone)) + (
        f" · ×{alarm.occurrence}" if alarm.occurrence > 1 else ""
    )
    if now - began > LATE_NS:
        first += f" · {_say(_LATE, language).format(minutes=(now - began) // (60 * 10**9))}"
    lines = [first, *([alarm.line] if alarm.line else [])]
    if condition is not None and (action := condition.action.get(language)):
        lines.append(f"{_say(_ACTION, language)}: {action}")
    return title, "\n".join([*lines, alarm.id])


def _clock(time: int, zone: tzinfo) -> str:
    return datetime.fromtimestamp(time / 1e9, zone).strftime("%H:%M:%S %Z")


def _say(words: Mapping[str, str], language: str) -> str:
    return words.get(language) or words["en"]
