"""The gateway's section: the sample is complete and right, wrong keys are named, defaults are inherited."""

from __future__ import annotations

import tomllib
from copy import deepcopy
from importlib.resources import files
from typing import Any

import msgspec
import pytest

from shinkei_events.errors import BadConfig
from shinkei_events.settings import strict
from shinkei_gateway import settings as module
from shinkei_gateway.mqtt import broker_settings
from shinkei_gateway.mqtt import settings as mqtt_settings
from shinkei_gateway.mqtt.settings import MqttSource
from shinkei_gateway.opcua import settings as opcua_settings
from shinkei_gateway.opcua.settings import OpcuaSource
from shinkei_gateway.settings import FileSource, GatewaySettings, sources_of
from shinkei_gateway.sparkplug import settings as sparkplug_settings
from shinkei_gateway.sparkplug.settings import SparkplugSource


@pytest.fixture
def sample() -> dict[str, Any]:
    text = files("shinkei_gateway").joinpath("sample.toml").read_text()
    return tomllib.loads(text)["gateway"]


def keys(raw: Any) -> set[str]:
    if isinstance(raw, dict):
        return set(raw) | {key for value in raw.values() for key in keys(value)}
    return {key for value in raw for key in keys(value)} if isinstance(raw, list) else set()


def test_the_sample_is_right(sample: dict[str, Any]) -> None:
    found = sources_of(strict(sample, GatewaySettings, "gateway"))
    assert {type(source) for source in found.values()} == {OpcuaSource, MqttSource, SparkplugSource, FileSource}


def test_the_sample_has_every_key_there_is(sample: dict[str, Any]) -> None:
    rooms = [module, broker_settings, mqtt_settings, opcua_settings, sparkplug_settings]
    structs = [s for m in rooms for s in vars(m).values() if isinstance(s, type) and issubclass(s, msgspec.Struct)]
    wanted = {field.encode_name for struct in structs for field in msgspec.structs.fields(struct)}
    assert wanted - keys(sample) == set()


def test_defaults_are_inherited_and_overridden(sample: dict[str, Any]) -> None:
    sample["defaults"]["opcua"]["publish"] = "250ms"
    press = sources_of(strict(sample, GatewaySettings, "gateway"))["press"]
    assert isinstance(press, OpcuaSource)
    assert press.publish == 0.25
    sample["sources"]["press"]["publish"] = "1s"
    press = sources_of(strict(sample, GatewaySettings, "gateway"))["press"]
    assert isinstance(press, OpcuaSource)
    assert press.publish == 1.0


@pytest.mark.parametrize(
    ("path", "value", "key"),
    [
        (("frame_ages",), "1s", "gateway"),
        (("frame_age",), "100", "gateway.frame_age"),
        (("sources", "press", "security"), "maybe", "gateway.sources.press.security"),
        (("sources", "press", "type"), "modbus", "gateway.sources.press"),
        (("sources", "press", "url"), "http://x:1", "gateway.sources.press.url"),
        (("sources", "press", "url"), "opc.tcp://user:pw@x:1", "gateway.sources.press.url"),
        (("sources", "press", "discovery"), "opc.tcp://x", "gateway.sources.press.discovery"),
        (("sources", "kiln", "discovery"), "opc.tcp://x:1", "gateway.sources.kiln.discovery"),
        (("sources", "kiln", "security"), "none", "gateway.sources.kiln.server_certificate"),
        (("sources", "kiln", "server_certificate"), "", "gateway.sources.kiln.server_certificate"),
        (("sources", "press", "machine"), "a/b", "gateway.sources.press.machine"),
        (("sources", "press", "signals", 0, "node"), "ns=2;s=Force", "gateway.sources.press.signals[0].node"),
        (("sources", "press", "signals", 1, "name"), "force", "gateway.sources.press.signals"),
        (("sources", "press", "state", "map"), {"6": "RUNNING"}, "gateway.sources.press.state.map"),
        (("sources", "press", "handshakes", 0, "trigger"), "", "gateway.sources.press.handshakes[0].trigger"),
        (("sources", "press", "handshakes", 0, "answer", "bad"), 3, "gateway.sources.press.handshakes[0].answer.bad"),
        (
            ("sources", "press", "handshakes", 0, "answer", "good"),
            True,
            "gateway.sources.press.handshakes[0].answer.good",
        ),
        (("sources", "press", "answers"), None, "gateway.sources.press.handshakes[0].answer.good"),
        (("sources", "press", "answers", "user", "name"), "shinkei", "gateway.sources.press.answers.user"),
        (("sources", "press", "answers", "user", "password"), None, "gateway.sources.press.answers.user"),
        (
            ("sources", "press", "answers", "nodes", 0, "node"),
            "ns=2;s=A",
            "gateway.sources.press.answers.nodes[0].node",
        ),
        (("sources", "cell", "password"), "geheim", "gateway.sources.cell.password"),
        (("sources", "cell", "topics", 0, "filter"), "a/#/b", "gateway.sources.cell.topics[0].filter"),
        (("sources", "cell", "topics", 0, "signal"), "", "gateway.sources.cell.topics[0].signal"),
        (("sources", "cell", "topics", 0, "time"), "ts", "gateway.sources.cell.topics[0].time"),
        (("sources", "cell", "ca"), "pki/ca.pem", "gateway.sources.cell.ca"),
        (("sources", "cell", "url"), "mqtt://x:1883", "gateway.sources.cell.ca"),
        (("sources", "cell", "key"), None, "gateway.sources.cell.cert"),
        (("sources", "cell", "keepalive"), "0s", "gateway.sources.cell.keepalive"),
        (("defaults", "mqtt", "qoss"), 1, "gateway.sources.cell"),
        (("sources", "hall", "host_id"), None, "gateway.sources.hall.host_id"),
        (("sources", "hall", "host_id"), "a/b", "gateway.sources.hall.host_id"),
        (("sources", "hall", "role"), "secondary", "gateway.sources.hall.host_id"),
        (("sources", "hall", "nodes"), ["Utilities"], "gateway.sources.hall.nodes[0]"),
        (("sources", "hall", "machine"), "{device", "gateway.sources.hall.machine"),
        (("sources", "hall", "machines"), {"a/b/c": "x y"}, "gateway.sources.hall.machines"),
        (("sources", "hall", "metrics", 0, "filter"), "a/#/b", "gateway.sources.hall.metrics[0].filter"),
        (("sources", "hall", "metrics", 2, "unit"), None, "gateway.sources.hall.metrics[2].medium"),
        (("sources", "hall", "metrics", 5, "signal"), "{x}", "gateway.sources.hall.metrics[5].signal"),
    ],
)
def test_what_is_wrong_is_named(sample: dict[str, Any], path: tuple[Any, ...], value: Any, key: str) -> None:
    raw = deepcopy(sample)
    at: Any = raw
    for part in path[:-1]:
        at = at[part]
    at[path[-1]] = value
    with pytest.raises(BadConfig) as error:
        strict(raw, GatewaySettings, "gateway")
    assert error.value.field.startswith(key)


def test_security_is_on_when_nothing_is_said(sample: dict[str, Any]) -> None:
    del sample["sources"]["press"]["security"]
    press = sources_of(strict(sample, GatewaySettings, "gateway"))["press"]
    assert isinstance(press, opcua_settings.OpcuaSource)
    assert press.security == "Basic256Sha256"


def test_the_queue_covers_the_promised_outage() -> None:
    source = OpcuaSource(
        url="opc.tcp://x:1", machine="M", security="none", sampling=module.Duration(0.1), outage=module.Duration(60)
    )
    assert source.queue_of() == 600


@pytest.mark.parametrize(
    ("source", "key", "value"),
    [
        ("cell", "password", "hunter2"),
        ("cell", "password", ["hunter2"]),
        ("cell", "key_password", "hunter2"),
        ("cell", "url", "mqtts://gw:hunter2@broker:8883"),
        ("cell", "url", "mqtts://gw:hun@ter2@broker:8883"),
        ("press", "url", "opc.tcp://gw:hunter2@machine:4840"),
    ],
)
def test_a_secret_in_the_wrong_place_is_not_in_the_error(
    sample: dict[str, Any], source: str, key: str, value: Any
) -> None:
    sample["sources"][source][key] = value
    with pytest.raises(BadConfig) as error:
        strict(sample, GatewaySettings, "gateway")
    told = f"{error.value} {error.value!r} {error.value.value} {error.value.__cause__}"
    assert not {"hunter2", "hun@ter2", "ter2"} & set(told.replace("'", " ").replace("/", " ").replace(":", " ").split())
    assert "ter2" not in told
