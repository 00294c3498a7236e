"""The data folder: held by one process at a time, and the data of one exchange for ever."""

import fcntl
import json
import os
import shutil
from pathlib import Path
from typing import IO

_LOCK = "lock"
_STAMP = "exchange.json"


class FolderProblem(Exception):
    """The folder cannot be used; the text says why and what to do."""


def hold(folder: Path) -> IO[str]:
    """Take the folder for this process; keep what is returned open for as long as it is needed.

    Raises FolderProblem that names the process which holds it. The lock goes with its process, however that ends.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / _LOCK).open("a+")
    except OSError as error:
        raise FolderProblem(f"The data folder {folder} cannot be used: {error.strerror}.") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.seek(0)
        holder = lock.read().strip() or "unknown"
        lock.close()
        raise FolderProblem(
            f"The data folder {folder} is in use by process {holder}. Stop that one, or choose another with --data-dir."
        ) from error
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock


def forget(folder: Path) -> list[str]:
    """Remove the data, but not the lock; returns what was removed. The folder must be held."""
    removed = []
    for item in sorted(folder.iterdir()):
        if item.name == _LOCK:
            continue
        removed.append(item.name)
        shutil.rmtree(item) if item.is_dir() else item.unlink()
    return removed


def stamp(folder: Path, exchange: str, now_ms: int) -> int:
    """Say whose data this is; returns when the folder was begun (epoch ms, the machine's clock).

    Raises FolderProblem when it is another exchange's.
    """
    path = folder / _STAMP
    if not path.exists():
        # Whole or not at all: a kill must not leave half a stamp.
        draft = path.with_suffix(".new")
        draft.write_text(json.dumps({"exchange": exchange, "begun_ms": now_ms}))
        draft.replace(path)
    held = json.loads(path.read_text())
    if held.get("exchange") != exchange:
        raise FolderProblem(
            f"The data in {folder} is of another exchange ({held.get('exchange')}, not {exchange}): ids of two "
            "exchanges do not mix. Choose another folder with --data-dir, or forget this one's data with --reset."
        )
    return int(held.get("begun_ms", now_ms))
