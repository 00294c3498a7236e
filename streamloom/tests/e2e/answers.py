"""What the demo answers, and what is in the folder that it leaves."""

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from django.conf import settings

from streamloom.faults.answers import (
    Json,
    candles,
    coverage,
    difference,
    is_whole,
    pages,
    settled,
    trades,
)

__all__ = ["Json", "candles", "coverage", "difference", "is_whole", "pages", "settled", "trades"]

FOLDER = "binance"


def dirty(folder: Path) -> int:
    """How many buckets wait to be made again."""
    with closing(sqlite3.connect(f"file:{folder / FOLDER}/streamloom.db?mode=ro", uri=True, timeout=10)) as database:
        return int(database.execute("SELECT count(*) FROM analytics_dirty").fetchone()[0])


def audit(folder: Path) -> Json:
    """What is in the folder of a demo that has ended (``streamloom.tests.e2e.audit``)."""
    done = subprocess.run(
        [sys.executable, "-m", "streamloom.tests.e2e.audit", str(folder / FOLDER)],
        cwd=settings.BASE_DIR,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: Json = json.loads(done.stdout)
    return found
