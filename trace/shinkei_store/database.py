"""The process that serves a site's embedded database: start, schema, master data, run file, and starting again after a crash.

Parts never wait for it by name: they ask `pool`, which knows the address when it is there.
"""

from __future__ import annotations

import os
import threading
import time

from shinkei_events.runfile import remove_run, write_run
from shinkei_events.settings import PlantFile
from shinkei_events.telemetry import emit
from shinkei_store import master
from shinkei_store.embedded import EmbeddedPostgres
from shinkei_store.pool import database_folder
from shinkei_store.run import prepare
from shinkei_store.telemetry import DatabaseCrashed, DatabaseRecovering

PART = "database"
LOOK_S = 0.1
SAY_AFTER_S = 3.0


def serve(plant: PlantFile, stop: threading.Event) -> None:
    """Serve until ``stop``; call it from the main thread (the kernel ends the server when the calling thread ends).

    Raises `DatabaseBusy` when another process serves this folder, `ServerFailed` when the server cannot be started.
    """
    server = EmbeddedPostgres(database_folder(plant))

    def told(phase: str, seconds: float) -> None:
        if seconds >= SAY_AFTER_S:
            emit(DatabaseRecovering(str(server.folder), phase, seconds))

    server.start(told)
    try:
        prepare(plant)
        master.apply(plant)
        write_run(plant.dir, PART, {"part": PART, "pid": os.getpid(), "server": server.pid, "started": time.time()})
        while not stop.wait(LOOK_S):
            code = server.exit_code()
            if code is not None:
                emit(DatabaseCrashed(str(server.folder), server.pid or 0, code))
                server.start(told)
                write_run(
                    plant.dir, PART, {"part": PART, "pid": os.getpid(), "server": server.pid, "started": time.time()}
                )
    finally:
        remove_run(plant.dir, PART)
        server.stop(1.5)  # a part has 5 s for everything
