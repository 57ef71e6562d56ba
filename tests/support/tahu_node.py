"""An edge node whose payloads Eclipse Tahu encodes: jars by Maven into ``.cache/tahu``, our ``tahu/EdgeNode.java`` compiled there."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache" / "tahu"
SOURCE = Path(__file__).parent / "tahu" / "EdgeNode.java"
MISSING = "javac (a JDK 17) and mvn are needed for the Tahu test: install openjdk-17-jdk-headless and maven (or leave it out by SHINKEI_TEST_WITHOUT=tahu)"
FETCH_S = 300


class TahuNode:
    """Says ``count`` counters and one value of each type to the broker at ``port``; `kill` is its end."""

    def __init__(self, port: int, count: int) -> None:
        _make()
        command = [
            "java",
            "-Xmx128m",
            "-cp",
            f"{CACHE}/libs/*:{CACHE}/classes",
            "EdgeNode",
            f"tcp://127.0.0.1:{port}",
            str(count),
        ]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def said(self) -> None:
        """Wait until everything is said."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.strip() == "said":
                return
        raise AssertionError(f"the Tahu edge node ended with {self._process.wait()}")

    def kill(self) -> None:
        """kill -9: the broker says its will."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


def _make() -> None:
    assert shutil.which("javac"), MISSING
    assert shutil.which("mvn") or (CACHE / "libs").exists(), MISSING
    if not list((CACHE / "libs").glob("tahu-core-*.jar")):
        goal = ["dependency:copy-dependencies", f"-DoutputDirectory={CACHE / 'libs'}"]
        subprocess.run(
            ["mvn", "-q", "-B", "-f", str(ROOT / "tools" / "tahu-pom.xml"), *goal], check=True, timeout=FETCH_S
        )
    classes = CACHE / "classes"
    made = classes / "EdgeNode.class"
    if not made.exists() or made.stat().st_mtime < SOURCE.stat().st_mtime:
        classes.mkdir(parents=True, exist_ok=True)
        command = ["javac", "-encoding", "UTF-8", "-cp", f"{CACHE}/libs/*", "-d", str(classes), str(SOURCE)]
        subprocess.run(command, check=True, timeout=FETCH_S)
