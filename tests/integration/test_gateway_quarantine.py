"""A device that nobody understood: its messages wait, the mapping is corrected, they are taken again once – gateway, log and database real."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import psycopg
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from tests.support.gateway_site import write_site
from tests.support.kafka import KafkaNode
from tests.support.lineage import schema
from tests.support.mosquitto import Mosquitto
from tests.support.parts import PartProcess, environment, shinkei
from tests.support.waiting import eventually

TOPIC = {"filter": "plant/+/+", "as": "signal", "machine": "{1}", "signal": "{2}", "time": "/ts", "value": "/wrong"}
MESSAGES = 5
SECRET = "s3cret-Qx7vN"


class Site:
    """A folder with plant.toml, a recorder and a gateway; ``shinkei …`` on it."""

    def __init__(self, folder: Path, broker: Mosquitto, kafka: KafkaNode, dsn: str) -> None:
        self.folder, self.dsn = folder, dsn
        cell = {"type": "mqtt", "url": broker.url, "client_id": "gw", "topics": [TOPIC], "queue": "unlimited"}
        cell |= {"user": "gw", "password": "file:broker.pw"}
        folder.mkdir(parents=True)
        (folder / "broker.pw").write_text(SECRET + "\n")
        self.config = write_site(folder, {"cell": cell}, bootstrap=kafka.bootstrap)
        with self.config.open("a") as file:
            file.write(f'[store]\ndsn = "{dsn}"\n')
        self.store = PartProcess("store", self.config, folder)
        self.gateway = PartProcess("gateway", self.config, folder)

    def say(self, *words: str, **env: str) -> tuple[int, Any]:
        where = ("--config", str(self.config), "--dir", str(self.folder))
        done = subprocess.run(shinkei(*words, *where, "--format", "json"), capture_output=True, text=True, timeout=180,
                              env=environment(**env), check=False)  # fmt: skip
        return done.returncode, json.loads(done.stdout) if done.stdout.strip() else done.stderr

    def waiting(self) -> list[dict[str, Any]]:
        return [row for row in self.say("gateway", "quarantine", "list")[1] if row["state"] == "waiting"]

    def balanced(self) -> list[dict[str, Any]]:
        """The books, when they balance (what is sent is worked out twice a second); else nothing."""
        code, books = self.say("gateway", "reconcile")
        return books if code == 0 and all(row["balanced"] for row in books) else []

    def recorded(self) -> list[tuple[int, float]]:
        with psycopg.connect(self.dsn) as conn:
            sql = "select r.t_ns, r.value from shinkei.reading r join shinkei.signal s on s.id = r.signal_id where s.machine = 'D1' order by r.t_ns, r.value"
            return [(int(t), float(v)) for t, v in conn.execute(sql).fetchall()]


@pytest.fixture
def site(tmp_path: Path, mosquitto: Mosquitto, kafka: KafkaNode, postgres: str) -> Any:
    schema(postgres)
    made = Site(tmp_path / "site", mosquitto, kafka, postgres)
    made.store.start()
    made.gateway.start(60)
    eventually(lambda: (found := made.gateway.health()) and found["details"]["sources"]["cell"]["connected"], 30)
    yield made
    for part in (made.gateway, made.store):
        if part.alive():
            part.stop()


def publish(broker: Mosquitto) -> list[tuple[int, float]]:
    client = paho.Client(CallbackAPIVersion.VERSION2, "device")
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    said = [(time.time_ns() + at, float(at)) for at in range(MESSAGES)]
    for at, value in said:
        client.publish("plant/D1/n", json.dumps({"ts": at, "v": value}), qos=1).wait_for_publish(60)
    client.disconnect()
    client.loop_stop()
    return said


def test_corrected_mapping_and_replay(site: Site, mosquitto: Mosquitto) -> None:
    said = publish(mosquitto)
    eventually(lambda: len(site.waiting()) == MESSAGES, 40, every=0.3)
    rows = site.waiting()
    assert {(row["source"], row["where"]) for row in rows} == {("cell", "plant/D1/n")}
    code, answers = site.say("gateway", "quarantine", "replay", "--source", "cell")
    assert code == 1
    assert {row["outcome"] for row in answers} == {"refused"}
    assert "$/wrong" in answers[0]["detail"]

    # The payload of one is corrected by hand; then the mapping, which the gateway reads again.
    payload = site.folder / "payload"
    payload.write_text(json.dumps({"ts": said[0][0], "wrong": said[0][1]}))
    code, answers = site.say("gateway", "quarantine", "fix", rows[0]["id"], "--payload", str(payload))
    assert (code, answers[0]["outcome"], answers[0]["items"]) == (0, "done", 1)
    editor = f'{sys.executable} -c \'import pathlib, sys; p = pathlib.Path(sys.argv[1]); p.write_text(p.read_text().replace("/wrong", "/v"))\''
    code, text = fix_mapping(site, rows[1]["id"], editor)
    assert code == 0, text
    eventually(lambda: site.recorded() == said[:2], 30)

    site.gateway.kill()
    site.gateway.start(60)
    code, answers = site.say("gateway", "quarantine", "replay", *[row["id"] for row in rows])
    assert code == 0
    assert [row["detail"] for row in answers] == ["was replayed before"] * 2 + [""] * 3
    eventually(lambda: site.recorded() == said, 30)
    assert eventually(lambda: site.waiting() == [], 20, every=0.3)
    assert len(site.say("gateway", "quarantine", "list", "--all")[1]) == MESSAGES
    books = eventually(site.balanced, 20, every=0.3)
    # kill -9 costs the books the names of what came in their last 2 s, no numbers.
    assert sum(row["replayed"] for row in books) >= 3

    # The spool is lost, and with it what the gateway knew: it takes a record again, and the store does not count it twice.
    site.gateway.kill()
    shutil.rmtree(site.folder / "spool")
    site.gateway.start(60)
    code, answers = site.say("gateway", "quarantine", "replay", rows[0]["id"])
    assert (code, answers[0]["outcome"]) == (0, "done")  # earlier commands that have not expired were done again too
    with psycopg.connect(site.dsn, autocommit=True) as conn:
        count = (
            "select count(*) from shinkei.frame f join shinkei.stream s on s.id = f.stream_id where s.kind = 'signals'"
        )
        eventually(lambda: (found := conn.execute(count).fetchone()) and found[0] > MESSAGES, 30)
    assert site.recorded() == said
    assert secrets_shown(site) == []


def secrets_shown(site: Site) -> list[str]:
    """Where the broker's password can be read: in what the gateway says, or in any file of the site but its own."""
    run = json.loads((site.folder / "run" / "gateway.json").read_text())
    found = []
    for page in ("health", "metrics"):
        with urllib.request.urlopen(f"http://{run['http']}/{page}", timeout=30) as answer:
            found += [page] if SECRET.encode() in answer.read() else []
    files = (path for path in site.folder.rglob("*") if path.is_file() and path.name != "broker.pw")
    found += [str(path) for path in files if SECRET.encode() in content(path)]
    in_clear = site.config.read_text().replace("file:broker.pw", SECRET)
    for wrong in (in_clear, in_clear.replace("mqtt://", f"mqtt://gw:{SECRET}@")):
        site.config.write_text(wrong)
        code, text = site.say("gateway", "reload")
        assert code == 2
        found += [text] if SECRET in str(text) else []
    return found


def content(path: Path) -> bytes:
    """What is in a file; nothing when it has just gone (a part renames and deletes files while it runs)."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def fix_mapping(site: Site, record: str, editor: str) -> tuple[int, str]:
    words = (
        "gateway",
        "quarantine",
        "fix",
        record,
        "--mapping",
        "--config",
        str(site.config),
        "--dir",
        str(site.folder),
    )
    done = subprocess.run(
        shinkei(*words), capture_output=True, text=True, timeout=180, env=environment(EDITOR=editor), check=False
    )
    return done.returncode, done.stdout + done.stderr
