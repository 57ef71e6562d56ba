"""A peer in Java: jars by Maven into ``.cache/NAME`` as ``tools/NAME-pom.xml`` says, our one class beside this file compiled there.

What it is for is said by its two users, `milo_machine` and `tahu_node`.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD_S = 300
MISSING = "javac (a JDK 17) and mvn are needed for the {name} tests: install openjdk-17-jdk-headless and maven (or leave them out by SHINKEI_TEST_WITHOUT={name})"


class JavaPeer:
    """``name/MAIN.java`` running with ``words``; ``jar``: the file name of the library's jar begins so. ``heap_mb``: its memory."""

    def __init__(self, name: str, main: str, jar: str, words: list[str], heap_mb: int) -> None:
        self._name = name
        cache = _built(name, main, jar)
        command = ["java", f"-Xmx{heap_mb}m", "-cp", f"{cache}/libs/*:{cache}/classes", main, *words]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def says(self, word: str) -> None:
        """Wait until it has said ``word`` in a line of its own; AssertionError when it ends before."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.strip() == word:
                return
        raise AssertionError(f"the peer {self._name} ended with {self._process.wait()} before it said {word!r}")

    def kill(self) -> None:
        """kill -9."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


def _built(name: str, main: str, jar: str) -> Path:
    """The folder with ``libs`` and ``classes``, made when it is not there or older than the source."""
    cache, source = ROOT / ".cache" / name, Path(__file__).parent / name / f"{main}.java"
    libs, classes = cache / "libs", cache / "classes"
    assert shutil.which("javac"), MISSING.format(name=name)
    assert shutil.which("mvn") or libs.exists(), MISSING.format(name=name)
    if not list(libs.glob(f"{jar}-*.jar")):
        goal = ["dependency:copy-dependencies", f"-DoutputDirectory={libs}"]
        pom = str(ROOT / "tools" / f"{name}-pom.xml")
        subprocess.run(["mvn", "-q", "-B", "-f", pom, *goal], check=True, timeout=BUILD_S)
    made = classes / f"{main}.class"
    if not made.exists() or made.stat().st_mtime < source.stat().st_mtime:
        classes.mkdir(parents=True, exist_ok=True)
        command = ["javac", "-encoding", "UTF-8", "-cp", f"{libs}/*", "-d", str(classes), str(source)]
        subprocess.run(command, check=True, timeout=BUILD_S)
    return cache
