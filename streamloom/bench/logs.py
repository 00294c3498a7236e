"""Writing and reading the log by batches, beside a table with a row for each record."""

import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ingestion.log.port import Log, Record, TopicPartition
from ingestion.log.sqlite import SqliteLog
from ingestion.log.topics import ENRICHED_TRADES
from streamloom.bench.contest import Case, Contestant
from streamloom.bench.material import Material

_TOPIC: Final = ENRICHED_TRADES.name
_PLACE: Final = TopicPartition(_TOPIC, 0)
_BATCHES: Final = (1, 10, 100, 2_000)
# A transaction for each record is slow whoever does it: so many are enough to see it.
_MOST_TRANSACTIONS: Final = 200
_INSERT: Final = "INSERT INTO records (offset, key, value) VALUES (?, ?, ?)"


def cases(material: Material) -> Iterator[Case]:
    pairs = zip(material.trades, material.records, strict=True)
    records = [Record(trade.symbol, value) for trade, value in pairs]
    for batch in _BATCHES:
        some = records[: batch * _MOST_TRANSACTIONS]
        yield _write(some, batch)
        if batch > 1:
            yield _read(some, batch)


def _write(records: Sequence[Record], batch: int) -> Case:
    return Case(
        f"log: write, {batch:,} a batch",
        len(records),
        "record",
        Contestant(lambda db: _insert(db, records, batch), lambda db, _: _rows(db, batch), _table),
        Contestant(lambda log: _append(log, records, batch), lambda log, _: _tailed(log, batch), _log),
    )


def _read(records: Sequence[Record], batch: int) -> Case:
    @contextmanager
    def table() -> Iterator[sqlite3.Connection]:
        with _table() as db:
            _insert(db, records, batch)
            yield db

    @contextmanager
    def log() -> Iterator[Log]:
        with tempfile.TemporaryDirectory(prefix="streamloom-bench-") as folder:
            path = Path(folder) / "log.db"
            written = SqliteLog(path)
            _append(written, records, batch)
            written.close()
            # Opened anew, so that it is read from the file and not from memory.
            opened = SqliteLog(path)
            yield opened
            opened.close()

    return Case(
        f"log: read, {batch:,} a batch",
        len(records),
        "record",
        Contestant(lambda db: _rows(db, batch), lambda _, found: found, table),
        Contestant(lambda log: _tailed(log, batch), lambda _, found: found, log),
    )


@contextmanager
def _table() -> Iterator[sqlite3.Connection]:
    with tempfile.TemporaryDirectory(prefix="streamloom-bench-") as folder:
        db = sqlite3.connect(Path(folder) / "rows.db", isolation_level=None)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("CREATE TABLE records (offset INTEGER PRIMARY KEY, key TEXT, value BLOB)")
        yield db
        db.close()


@contextmanager
def _log() -> Iterator[Log]:
    with tempfile.TemporaryDirectory(prefix="streamloom-bench-") as folder:
        log = SqliteLog(Path(folder) / "log.db")
        yield log
        log.close()


def _insert(db: sqlite3.Connection, records: Sequence[Record], batch: int) -> None:
    for start in range(0, len(records), batch):
        db.execute("BEGIN IMMEDIATE")
        for offset, record in enumerate(records[start : start + batch], start):
            db.execute(_INSERT, (offset, record.key, record.value))
        db.execute("COMMIT")


def _append(log: Log, records: Sequence[Record], batch: int) -> None:
    for start in range(0, len(records), batch):
        log.append(_TOPIC, records[start : start + batch])


def _rows(db: sqlite3.Connection, batch: int) -> list[tuple[int, str, bytes]]:
    found: list[tuple[int, str, bytes]] = []
    question = "SELECT offset, key, value FROM records WHERE offset >= ? ORDER BY offset LIMIT ?"
    while rows := db.execute(question, (len(found), batch)).fetchall():
        found += rows
    return found


def _tailed(log: Log, batch: int) -> list[tuple[int, str, bytes]]:
    found: list[tuple[int, str, bytes]] = []
    tail = log.tail({_PLACE: 0})
    while stored := tail.poll(batch, 0.0):
        found += [(record.offset, record.key, record.value) for record in stored]
    tail.close()
    return found
