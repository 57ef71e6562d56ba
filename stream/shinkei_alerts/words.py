"""What a page says: what is wrong, in words, with value and reference, in the languages of the plant. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

from shinkei_alerts.lifecycle import Alarm
from shinkei_events.model.anomaly import AnomalyChanged
from shinkei_events.model.machine import MachineStateChanged
from shinkei_events.model.master import Condition

_SINCE = {"ja": "{time} から", "en": "since {time}"}
_AGAINST = {"ja": "{signal} {observed} (通常 {reference})", "en": "{signal} {observed} (normally {reference})"}
_NO_DATA = {"ja": "データなし", "en": "no data"}
_QUALITY = {"ja": "データ品質", "en": "data quality"}
_ACTION = {"ja": "対処", "en": "do"}


def of_anomaly(event: AnomalyChanged, condition: Condition, languages: tuple[str, ...]) -> dict[str, str]:
    """Title, leading signal, observed against reference."""
    return {language: _anomaly(event, condition, language) for language in languages}


def _anomaly(event: AnomalyChanged, condition: Condition, language: str) -> str:
    title = condition.title.get(language) or (_QUALITY.get(language, "data quality") if event.finding == "data_quality" else condition.name)
    if not event.signals:
        return title
    lead = event.signals[0]
    if lead.observed is None or lead.reference is None:
        return f"{title}: {lead.signal}"
    unit = f" {lead.unit}" if lead.unit else ""
    shown = _AGAINST.get(language, _AGAINST["en"]).format(
        signal=lead.signal, observed=f"{lead.observed:.4g}{unit}", reference=f"{lead.reference:.4g}{unit}"
    )
    return f"{title}: {shown}"


def of_state(event: MachineStateChanged, condition: Condition, reasons: dict[str, dict[str, str]], languages: tuple[str, ...]) -> dict[str, str]:
    """Title, state, reason in the plant's words."""
    found = {}
    for language in languages:
        title = condition.title.get(language) or (_NO_DATA.get(language, "no data") if event.state == "NO_DATA" else condition.name)
        reason = reasons.get(event.reason or "", {}).get(language) or event.reason
        found[language] = f"{title}: {event.state}" + (f" ({reason})" if reason else "")
    return found


def page(alarm: Alarm, condition: Condition | None, language: str, zone_name: str = "UTC") -> tuple[str, str]:
    """Title and body of a page: at most five lines."""
    began = datetime.fromtimestamp((alarm.active_since or alarm.since) / 1e9, UTC).strftime("%H:%M:%S")
    title = f"{alarm.priority} {alarm.machine} {alarm.text.get(language) or next(iter(alarm.text.values()), alarm.condition)}"
    lines = [_SINCE.get(language, _SINCE["en"]).format(time=f"{began} {zone_name}") + (f" · ×{alarm.occurrence}" if alarm.occurrence > 1 else "")]
    if alarm.line:
        lines.append(alarm.line)
    if condition is not None and (action := condition.action.get(language)):
        lines.append(f"{_ACTION.get(language, 'do')}: {action}")
    lines.append(alarm.id)
    return title, "\n".join(lines)
