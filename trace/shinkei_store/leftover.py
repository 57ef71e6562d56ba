"""What an earlier server may have left in a data folder: a process that still ends, a zombie, a pid file whose number is taken.

PostgreSQL itself only asks whether *any* process has the number in ``postmaster.pid``; that is wrong for a zombie that nobody
reaps (containers without an init) and for a number that another program has by now. On Linux the truth is ``/proc``: a
server's processes have the data folder as their working directory. Where that may not be read (root in a container has no right to
trace), the process named in the pid file counts when it is a postgres that began when the file says.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

PID_FILE = "postmaster.pid"
CLOCK_TOLERANCE_S = 5.0


def server_processes(data: Path) -> list[int]:
    """Live processes (no zombies) of a server on ``data``."""
    if sys.platform != "linux":
        pid = _pid_in_file(data)
        return [pid] if pid is not None and _named_postgres(pid) else []
    target = os.path.realpath(data)
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        with contextlib.suppress(OSError):
            if Path(f"/proc/{name}/comm").read_text().strip() != "postgres":
                continue
            if _works_in(int(name), target, data):
                found.append(int(name))
    return found


def _works_in(pid: int, target: str, data: Path) -> bool:
    try:
        return str(Path(f"/proc/{pid}/cwd").readlink()) == target
    except PermissionError:
        return pid == _pid_in_file(data) and _began_with_file(pid, data)


def _began_with_file(pid: int, data: Path) -> bool:
    """Did a process that is no zombie begin within `CLOCK_TOLERANCE_S` of the start time in the pid file (its third line)?"""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    since_boot = int(fields[19]) / os.sysconf("SC_CLK_TCK")
    began = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + since_boot
    written = int((data / PID_FILE).read_text().split("\n")[2])
    return fields[0] != "Z" and abs(began - written) < CLOCK_TOLERANCE_S


def end_leftover(data: Path, wait_s: float) -> str | None:
    """Make ``data`` free for a new server: wait for what still ends, ask it to, remove a pid file that means nothing.

    Called while holding the folder's lock, so no other supervisor owns what is found. Returns what was done, or None; raises
    TimeoutError when processes do not go within ``wait_s``.
    """
    done = None
    deadline = time.monotonic() + wait_s
    while running := server_processes(data):
        done = f"waited for processes {running} of an earlier server"
        first = _pid_in_file(data)
        if first in running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(first, signal.SIGINT)
        if time.monotonic() > deadline:
            raise TimeoutError(f"processes {running} still use {data}; end them")
        time.sleep(0.02)
    pid = _pid_in_file(data)
    if pid is not None and _exists(pid):
        (data / PID_FILE).unlink(missing_ok=True)
        return f"removed the pid file of process {pid}, which is no server of this folder"
    return done


def server_status(data: Path, pid: int) -> str:
    """``starting``, ``ready``, ``stopping`` … as the server with this ``pid`` wrote it, or ``""``."""
    try:
        lines = (data / PID_FILE).read_text().splitlines()
    except OSError:
        return ""
    return lines[7].strip() if len(lines) > 7 and lines[0].strip() == str(pid) else ""


def _pid_in_file(data: Path) -> int | None:
    try:
        return int((data / PID_FILE).read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return None


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _named_postgres(pid: int) -> bool:
    shown = subprocess.run(
        ["ps", "-o", "stat=,comm=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.strip()
    return bool(shown) and not shown.startswith("Z") and shown.endswith("postgres")
