"""A site folder with a plant.toml for a gateway alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_site(
    folder: Path, sources: Mapping[str, Mapping[str, Any]], *, bootstrap: str | None = None, **gateway: Any
) -> Path:
    """Write ``folder/plant.toml``; returns its path. ``gateway``: further keys of the section."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["[site]", 'id = "test"']
    if bootstrap is not None:
        lines += ["[log]", f'bootstrap = "{bootstrap}"']
    lines += ["[gateway]", 'id = "gw-test"']
    lines += [f"{key} = {_toml(value)}" for key, value in ({"frame_age": "20ms"} | gateway).items()]
    for name, source in sources.items():
        lines += [f"[gateway.sources.{name}]", *(f"{key} = {_toml(value)}" for key, value in source.items())]
    path = folder / "plant.toml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return json.dumps(value)
