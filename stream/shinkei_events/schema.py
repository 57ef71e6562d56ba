"""JSON Schemas (draft 2020-12) and the AsyncAPI 3 document of the language, generated from its structs.

`python -m shinkei_events.schema DIR` writes them; ``docs/schemas`` holds the released ones and a test compares. `breaking` says what
an update would break: fields may be added when optional; nothing is renamed, retyped or removed.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec

from shinkei_events.registry import EVENT_TYPES, FRAME, EventType
from shinkei_events.topics import TOPICS

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema_of(entry: EventType) -> dict[str, Any]:
    """The JSON Schema of one type; readers ignore fields they do not know, so it never forbids any."""
    (body,), parts = msgspec.json.schema_components([entry.struct], ref_template="#/$defs/{name}")
    schema: dict[str, Any] = {"$schema": DIALECT, "$id": f"urn:shinkei:schema:{entry.ce_type}", "title": entry.ce_type}
    return schema | body | {"$defs": parts}


def asyncapi() -> dict[str, Any]:
    """The AsyncAPI 3.0 document: one channel a topic, one message a type, with Kafka and CloudEvents described."""
    messages = {entry.ce_type: _message(entry) for entry in EVENT_TYPES}
    channels = {
        topic.name: {
            "address": topic.name,
            "messages": {
                e.ce_type: {"$ref": f"#/components/messages/{e.ce_type}"} for e in EVENT_TYPES if e.topic is topic
            },
            "bindings": {
                "kafka": {
                    "topic": topic.name,
                    "partitions": topic.partitions,
                    "topicConfiguration": _retention(topic.config()),
                }
            },
            "description": f"Keyed by {topic.key}.",
        }
        for topic in TOPICS
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Shinkei",
            "version": "1.0.0",
            "license": {"name": "Apache-2.0"},
            "description": "The events of a factory.",
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "components": {"messages": messages},
    }


def _message(entry: EventType) -> dict[str, Any]:
    text = (entry.struct.__doc__ or "").strip().split("\n")[0]
    kind = entry.topic.content_type if entry is FRAME else "application/json"
    headers = {
        name: {"type": "string"}
        for name in ("ce_specversion", "ce_type", "ce_id", "ce_source", "ce_subject", "ce_time", "ce_dataschema")
    }
    headers["ce_type"] = {"type": "string", "const": entry.ce_type}
    return {
        "name": entry.ce_type,
        "summary": text,
        "contentType": kind,
        "headers": {"type": "object", "properties": headers, "required": list(headers)},
        "payload": {
            "schemaFormat": "application/schema+json;version=draft-2020-12",
            "schema": {"$ref": f"{entry.ce_type}.json"},
        },
    }


def _retention(config: dict[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {"cleanup.policy": [config["cleanup.policy"]]}
    if "retention.ms" in config:
        found["retention.ms"] = int(config["retention.ms"])
    return found


def breaking(released: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What readers or writers of the released schema would stumble over in the new one, as sentences (empty: nothing)."""
    problems: list[str] = []
    _compare("$", released, now, problems)
    gone = set(released.get("$defs", {})) - set(now.get("$defs", {}))
    problems += [f"$defs.{name}: is gone" for name in sorted(gone)]
    for name, part in released.get("$defs", {}).items():
        if name in now.get("$defs", {}):
            _compare(f"$defs.{name}", part, now["$defs"][name], problems)
    return problems


def _compare(path: str, old: dict[str, Any], new: dict[str, Any], problems: list[str]) -> None:
    before, after = old.get("properties", {}), new.get("properties", {})
    problems += [f"{path}.{name}: is gone" for name in before if name not in after]
    problems += [
        f"{path}.{name}: is required now" for name in new.get("required", []) if name not in old.get("required", [])
    ]
    problems += [
        f"{path}.{name}: is optional now"
        for name in old.get("required", [])
        if name not in new.get("required", []) and name in after
    ]
    for name in before:
        if name in after and _shape(before[name]) != _shape(after[name]):
            problems.append(f"{path}.{name}: was {_shape(before[name])}, is {_shape(after[name])}")
        gone = set(before[name].get("enum", ())) - set(after.get(name, {}).get("enum", ()))
        if gone and name in after:
            problems.append(f"{path}.{name}: values {sorted(gone, key=str)} are gone")


def _shape(part: dict[str, Any]) -> Any:
    """The type alone: texts, defaults and further allowed values do not count."""
    if "enum" in part:
        return "enum" if not isinstance(part["enum"], list) else ("enum", type(part["enum"][0]).__name__)
    kept = {key: value for key, value in part.items() if key not in {"default", "description", "title", "enum"}}
    return {key: (_shape(value) if isinstance(value, dict) else value) for key, value in kept.items()}


def write(folder: Path) -> list[Path]:
    """Write every schema and ``asyncapi.json`` to ``folder``; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    documents = {entry.ce_type: schema_of(entry) for entry in EVENT_TYPES} | {"asyncapi": asyncapi()}
    files = []
    for name, document in documents.items():
        path = folder / f"{name}.json"
        path.write_bytes(msgspec.json.format(msgspec.json.encode(document, order="sorted"), indent=2) + b"\n")
        files.append(path)
    return files


if __name__ == "__main__":
    sys.stdout.write(f"{len(write(Path(sys.argv[1] if len(sys.argv) > 1 else 'docs/schemas')))} files written\n")
