"""What the demo answers, and what is in the folder that it leaves."""

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from django.conf import settings

from ingestion.pipeline.closing import GRACE_MS
from markets.types import MINUTE_MS, Interval
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
from streamloom.tests.demo.running import RunningDemo

__all__ = ["Json", "candles", "coverage", "difference", "is_whole", "pages", "settled", "trades"]

FOLDER = "binance"


def stored(folder: Path, topic: str) -> int:
    """How many records of the topic are in the tables."""
    rows = _ask(folder, "SELECT next_offset FROM analytics_sinkposition WHERE topic = ?", topic)
    return sum(next_offset for (next_offset,) in rows)


def dirty(demo: RunningDemo, folder: Path) -> int:
    """How many buckets wait to be made again; without the minutes that are open, which wait for the feed to go on."""
    rows = _ask(folder, "SELECT symbol, interval, open_time FROM analytics_dirty")
    minutes = {symbol for symbol, interval, _ in rows if interval == Interval.M1}
    feed_times = {symbol: coverage(demo, symbol).get("feed_time") or sys.maxsize for symbol in minutes}
    open_from = {symbol: feed_time - MINUTE_MS - GRACE_MS for symbol, feed_time in feed_times.items()}
    return sum(interval != Interval.M1 or at <= open_from[symbol] for symbol, interval, at in rows)


def _ask(folder: Path, query: str, *parameters: object) -> list[Any]:
    """The rows that a running demo's database answers."""
    with closing(sqlite3.connect(f"file:{folder / FOLDER}/streamloom.db?mode=ro", uri=True, timeout=10)) as database:
        return database.execute(query, parameters).fetchall()


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
