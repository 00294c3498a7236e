"""Opens the sqlite log in a child process that may kill itself. Light on imports: it runs many times."""

import os
import signal
from pathlib import Path

from ingestion.log.port import Log
from ingestion.log.sqlite import SqliteLog


def open_to_be_killed(place: str) -> Log:
    """The log at ``path@n``: its process kills itself at the n-th SQL statement after opening."""
    path, _, kill_at = place.partition("@")
    log = SqliteLog(Path(path))
    if kill_at:
        left = [int(kill_at)]

        def count(_: str) -> None:
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)

        log._file._db.set_trace_callback(count)
    return log
