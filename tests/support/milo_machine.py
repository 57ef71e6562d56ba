"""A machine that counts, served by Eclipse Milo: jars by Maven into ``.cache/milo``, our ``milo/Machine.java`` compiled there."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from shinkei_gateway.opcua.certificate import Identity, encoded

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache" / "milo"
SOURCE = Path(__file__).parent / "milo" / "Machine.java"
MISSING = "javac (a JDK 17) and mvn are needed for the Milo tests: install openjdk-17-jdk-headless and maven (or leave them out by SHINKEI_TEST_WITHOUT=milo)"
FETCH_S = 300
URI = "urn:milo:server"
NODE = "nsu=urn:milo:machine;s=count"


class MiloMachine:
    """Listens at ``port`` below ``/machine``; counts every ``period_ms``. ``client``: the only certificate that it trusts."""

    def __init__(self, port: int, folder: Path, identity: Identity, client: x509.Certificate, period_ms: int) -> None:
        _make()
        (folder / "trusted" / "certs").mkdir(parents=True)
        (folder / "trusted" / "certs" / "client.der").write_bytes(encoded(client))
        (folder / "certificate.der").write_bytes(encoded(identity.certificate))
        der = serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        (folder / "key.der").write_bytes(identity.key.private_bytes(*der))
        command = ["java", "-Xmx192m", "-cp", f"{CACHE}/libs/*:{CACHE}/classes", "Machine", str(port), str(folder), str(period_ms)]  # fmt: skip
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def listens(self) -> None:
        """Wait until it does."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.strip() == "listens":
                return
        raise AssertionError(f"the Milo server ended with {self._process.wait()}")

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


def _make() -> None:
    assert shutil.which("javac"), MISSING
    assert shutil.which("mvn") or (CACHE / "libs").exists(), MISSING
    if not list((CACHE / "libs").glob("sdk-server-*.jar")):
        goal = ["dependency:copy-dependencies", f"-DoutputDirectory={CACHE / 'libs'}"]
        pom = str(ROOT / "tools" / "milo-pom.xml")
        subprocess.run(["mvn", "-q", "-B", "-f", pom, *goal], check=True, timeout=FETCH_S)
    classes = CACHE / "classes"
    made = classes / "Machine.class"
    if not made.exists() or made.stat().st_mtime < SOURCE.stat().st_mtime:
        classes.mkdir(parents=True, exist_ok=True)
        command = ["javac", "-encoding", "UTF-8", "-cp", f"{CACHE}/libs/*", "-d", str(classes), str(SOURCE)]
        subprocess.run(command, check=True, timeout=FETCH_S)
