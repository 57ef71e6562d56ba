"""The complete plant.toml of the simulated line: its machines' addresses and mappings, and all of its master data.

Written from the catalogue, so machines and master data never disagree. Used by the demo, by drills and by tests.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from shinkei_plant import catalog
from shinkei_plant.broker import find_mosquitto
from shinkei_plant.catalog import CHARACTERISTICS, LINE_PATH, MACHINES, MATERIALS, PRODUCTS, REASONS, SIGNALS
from shinkei_plant.nodes import reading_node, uri
from shinkei_plant.sparkplug_names import ENERGY, GROUP, HOST_ID, OPERATION, SETUP, STATES, node_of

ENDPOINTS = (*(machine.name for machine in MACHINES if machine.protocol == "opcua"), "broker")
"""Names of the ports that the line needs: one for each OPC UA machine, one for the MQTT broker."""

_SETUP_TYPES = {"tool": "tool", "program": "program"}
READINGS_AS_NODES = ("OP20",)
"""Machines whose readings are also mapped node by node (every one of their operations has them all)."""


def plant_toml(
    *,
    ports: Mapping[str, int],
    ui_port: int = 8501,
    language: str = "ja",
    history: Path | None = None,
    seed: int | None = None,
    speed: float = 1.0,
    calm: bool = False,
    faults: Sequence[str] = (),
    broker: str = "",
    pki: Path | None = None,
    plant: Mapping[str, Any] | None = None,
    extra: str = "",
) -> str:
    """The file's text. ``ports``: by `ENDPOINTS`. ``broker``: an MQTT broker that is there (empty: the plant starts one).

    ``pki``: the folder of the machines' certificates; without it they speak in the clear. ``plant``: further keys of ``[plant]``. ``extra``: further TOML in front (tables ``[log]``, ``[store]`` …).
    """
    parts = [_head(language), extra, _gateway(ports, history, broker, pki is not None), _sections(ui_port, language)]
    keys = ({} if pki is None else {"pki": str(pki)}) | dict(plant or {})
    parts.append(_plant(ports, history, seed, speed, calm, faults, broker, keys))
    parts += [_machines(), _signals(), _products(), _characteristics(), _calendar(), _reasons(), _conditions()]
    return "\n".join(part for part in parts if part) + "\n"


# ---- sections ----------------------------------------------------------------------------------------------------------------
def _head(language: str) -> str:
    languages = ["ja", "en"] if language == "ja" else ["en", "ja"]
    return _table(
        "site", id="demo", title={"ja": "電動ポンプ ライン1", "en": "Electric pumps, line 1"}, languages=languages
    )


def _sections(ui_port: int, language: str) -> str:
    return _table("ui", port=ui_port, language=language)


def _gateway(ports: Mapping[str, int], history: Path | None, broker: str, is_encrypted: bool) -> str:
    text = [_table("gateway", id="gw-01"), _table("gateway.spool", keep_until="stored", keep_after="0s")]
    text += [
        _opcua(machine.name, ports[machine.name], is_encrypted) for machine in MACHINES if machine.protocol == "opcua"
    ]
    text.append(_mqtt(broker, ports.get("broker", 1883)))
    text.append(_sparkplug(broker, ports.get("broker", 1883)))
    if history is not None:
        text.append(_table("gateway.sources.past", type="file", path=str(history)))
    return "\n".join(text)


def _opcua(name: str, port: int, is_encrypted: bool) -> str:
    def node(path: str) -> str:
        return f"nsu={uri(name)};s={path}"

    slots = [material.slot for material in MATERIALS if material.machine == name]
    slots += ["tool", "program"] if name == "OP20" else []
    handshake: dict[str, Any] = {
        "name": "cycle",
        "trigger": node("Cycle.Done"),
        "operation": node("Cycle.Operation"),
        "timeout": "2s",
    }
    if name in READINGS_AS_NODES:
        handshake["readings"] = {
            one.name: node(reading_node(one.name)) for one in CHARACTERISTICS if one.operation == name
        }
    values: dict[str, Any] = {
        "type": "opcua",
        "url": f"opc.tcp://127.0.0.1:{port}/",
        "machine": name,
        **({} if is_encrypted else {"security": "none"}),
        "publish": "100ms",
        "sampling": "50ms",
        "signals": [{"node": node(f"Signals.{one.name}"), "name": one.name} for one in SIGNALS if one.machine == name],
        "state": {key: node(path) for key, path in
                  (("node", "State"), ("reason", "StateReason"), ("product", "Product"), ("recipe", "Recipe"), ("tool", "Tool"))},
        "energy": {"node": node("Energy"), "medium": "electricity", "unit": "kWh"},
        "handshakes": [handshake],
    }  # fmt: skip
    if slots:
        values["setup"] = [
            {"slot": slot, "node": node(f"Setup.{slot}"), "type": _SETUP_TYPES.get(slot, "material")} for slot in slots
        ]
    return _table(f"gateway.sources.{name.lower()}", **values)


def _mqtt(broker: str, port: int) -> str:
    topics: list[dict[str, str]] = [
        {
            "filter": "plant/+/signal/+",
            "as": "signal",
            "machine": "{1}",
            "signal": "{3}",
            "time": "/ts",
            "value": "/v",
            "status": "/s",
        }
    ]
    topics += [
        {"filter": f"plant/+/{kind}", "as": kind, "machine": "{1}"}
        for kind in ("state", "operation", "setup", "energy")
    ]
    values: dict[str, Any] = {
        "type": "mqtt",
        "url": broker or f"mqtt://127.0.0.1:{port}",
        "client_id": "shinkei-gw-01-devices",
    }
    if not broker and find_mosquitto() is not None:
        values["queue"] = "unlimited"  # true of our own mosquitto (see `broker`); of another one nobody knows
    values["machines"] = [machine.name for machine in MACHINES if machine.protocol == "mqtt"]
    return _table("gateway.sources.devices", **values, topics=topics)


def _sparkplug(broker: str, port: int) -> str:
    names = [machine.name for machine in MACHINES if machine.protocol == "sparkplug"]
    metrics: list[dict[str, str]] = [{"filter": "Process/+", "as": "signal", "signal": "{1}"}]
    metrics += [{"filter": metric, "as": role} for metric, role in STATES.items()]
    metrics += [
        {"filter": ENERGY, "as": "energy", "medium": "electricity", "unit": "kWh"},
        {"filter": OPERATION, "as": "operation"},
        {"filter": SETUP, "as": "setup"},
    ]
    values: dict[str, Any] = {
        "type": "sparkplug",
        "url": broker or f"mqtt://127.0.0.1:{port}",
        "client_id": "shinkei-gw-01-sparkplug",
        "role": "primary",
        "host_id": HOST_ID,
        "group_ids": [GROUP],
        "machines": {f"{GROUP}/{node_of(name)}": name for name in names},
    }
    return _table("gateway.sources.washing", **values, metrics=metrics)


def _plant(
    ports: Mapping[str, int], history: Path | None, seed: int | None, speed: float, calm: bool, faults: Sequence[str], broker: str, more: Mapping[str, Any]
) -> str:  # fmt: skip
    values: dict[str, Any] = {
        "seed": 1 if seed is None else seed,
        "speed": float(speed),
        "calm": calm,
        "faults": list(faults),
    }
    values["ports"] = {name: ports[name] for name in ENDPOINTS if name in ports}
    if broker:
        values["broker"] = broker
    if history is not None:
        values["history"] = str(history)
    return _table("plant", **(values | dict(more)))


# ---- master data -------------------------------------------------------------------------------------------------------------
def _machines() -> str:
    names = [machine.name for machine in MACHINES]
    return _tables("machines", (
        {"name": one.name, "path": f"{LINE_PATH}/{one.name}", "title": {"ja": one.ja, "en": one.en}, "group": "pumps", "operation": one.name,
         "upstream": names[at - 1 : at] if at else []}
        for at, one in enumerate(MACHINES)
    ))  # fmt: skip


def _signals() -> str:
    return _tables("signals", (
        {"machine": one.machine, "signal": one.name, "unit": one.unit, "unece": one.unece, "low": float(one.low), "high": float(one.high),
         "title": {"ja": one.ja, "en": one.en}}
        for one in SIGNALS
    ))  # fmt: skip


def _products() -> str:
    operations = [machine.name for machine in MACHINES]
    return "\n".join((
        _tables("products", ({"name": one.name, "title": {"ja": one.ja, "en": one.en}, "finished": True} for one in PRODUCTS)),
        _tables("routings", ({"product": one.name, "operations": operations} for one in PRODUCTS)),
        _tables("ideal_cycles", ({"machine": machine.name, "product": one.name, "seconds": machine.cycle_s} for one in PRODUCTS for machine in MACHINES)),
    ))  # fmt: skip


def _characteristics() -> str:
    rows = []
    for product in PRODUCTS:
        for one in CHARACTERISTICS:
            low, high = catalog.limits(one, product)
            row = {"product": product.name, "operation": one.operation, "characteristic": one.name, "unit": one.unit,
                   "lsl": low, "target": catalog.target(one, product), "usl": high,
                   "title": {"ja": one.ja, "en": one.en}}  # fmt: skip
            rows.append({key: value for key, value in row.items() if value is not None})
    return _tables("characteristics", rows)


def _calendar() -> str:
    times = (("06:00", "14:00"), ("14:00", "22:00"), ("22:00", "06:00"))
    days = [1, 2, 3, 4, 5, 6, 7]
    return _tables(
        "shifts", ({"line": LINE_PATH, "starts": begin, "ends": end, "weekdays": days} for begin, end in times)
    )


def _reasons() -> str:
    return _tables("reasons", (
        {"name": one.name, "title": {"ja": one.ja, "en": one.en}, "category": one.category, "element": one.element} for one in REASONS
    ))  # fmt: skip


def _conditions() -> str:
    return _tables("conditions", (
        {"name": "machine_aborted", "on": "state", "priority": "P1", "states": ["ABORTED"], "on_delay": 5.0, "off_delay": 10.0,
         "title": {"ja": "{machine} 異常停止", "en": "{machine} aborted"},
         "action": {"ja": "現場を確認し、原因を取り除いてリセットする", "en": "Go to the machine, clear the cause, reset"}},
        {"name": "machine_held", "on": "state", "priority": "P2", "states": ["HELD"], "reasons": _stops(), "on_delay": 45.0, "off_delay": 10.0,
         "title": {"ja": "{machine} 停止が長い", "en": "{machine} held for long"},
         "action": {"ja": "オペレーターに応援を送る", "en": "Help the operator"}},
        {"name": "anomaly", "on": "anomaly", "priority": "P2", "on_delay": 0.0, "off_delay": 30.0,
         "title": {"ja": "{machine} いつもと違う動き", "en": "{machine} behaves unusually"},
         "action": {"ja": "寄与の大きい信号と、その間に作られた部品を確認する", "en": "Look at the signals named first and the parts made meanwhile"}},
        {"name": "data_quality", "on": "data_quality", "priority": "P3", "on_delay": 0.0, "off_delay": 60.0,
         "title": {"ja": "{machine} 計測データに疑い", "en": "{machine} sensor data in doubt"},
         "action": {"ja": "センサーと配線を点検する", "en": "Check the sensor and its cable"}},
        {"name": "no_data", "on": "no_data", "priority": "P2", "on_delay": 10.0, "off_delay": 5.0,
         "title": {"ja": "{machine} データが来ない", "en": "No data from {machine}"},
         "action": {"ja": "機械の電源とネットワークを確認する", "en": "Check the machine's power and network"}},
    ))  # fmt: skip


def _stops() -> list[str]:
    return sorted(
        {stop.reason for machine in MACHINES for stop in machine.stops} | {"guard_open", "wrong_program", "coolant_low"}
    )


# ---- TOML --------------------------------------------------------------------------------------------------------------------
def _value(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case str():
            return json.dumps(value, ensure_ascii=False)
        case dict():
            return (
                "{ " + ", ".join(f"{_key(key)} = {_value(entry)}" for key, entry in value.items()) + " }"
                if value
                else "{}"
            )
        case list() | tuple():
            if value and all(isinstance(entry, dict) for entry in value):
                return "[\n  " + ",\n  ".join(_value(entry) for entry in value) + ",\n]"
            return "[" + ", ".join(_value(entry) for entry in value) + "]"
        case _:
            raise TypeError(f"{value!r} has no TOML form here")


def _key(key: str) -> str:
    return key if key.replace("-", "_").isidentifier() else json.dumps(key, ensure_ascii=False)


def _rows(values: Mapping[str, Any]) -> str:
    return "".join(f"{_key(key)} = {_value(value)}\n" for key, value in values.items())


def _table(where: str, /, **values: Any) -> str:
    return f"[{where}]\n{_rows(values)}"


def _tables(title: str, rows: Iterable[Mapping[str, Any]]) -> str:
    return "\n".join(f"[[{title}]]\n{_rows(row)}" for row in rows)
