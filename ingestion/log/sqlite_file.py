"""The file behind the sqlite log: its tables, its SQL, and batches of records as bytes.

A row of ``batches`` is a batch of records, not a record: one row per record costs four times the
CPU. Nothing here knows of readers, waiting or caches; see ``ingestion.log.sqlite``.
"""

import secrets
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from ingestion.log.port import LogError, State, StateChange, TopicPartition
from ingestion.log.sqlite_chunk import Chunk, Columns, unpack
from ingestion.log.topics import Topic

FORMAT: Final = 1
_APPLICATION_ID: Final = 0x534C4F47  # tells our file from any other SQLite database
_EPOCH_FROM_MS: Final = 1_735_689_600_000  # 2025-01-01: epochs count minutes from here
_LOCK_WAIT_S: Final = 1.0

# synchronous=NORMAL: in WAL mode a commit is safe against the death of the process at any point
# (SIGKILL, crash), because the operating system holds the pages; only loss of power may take the last
# moments, never the file. What is lost then comes back by gap repair. FULL would cost an fsync (1-10 ms)
# per commit. locking_mode=EXCLUSIVE: the log is for one process, and a second one must not get in.
_PRAGMAS: Final = (
    "PRAGMA page_size = 16384",
    "PRAGMA locking_mode = EXCLUSIVE",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = NORMAL",
    "PRAGMA journal_size_limit = 67108864",
)
_SCHEMA: Final = """
CREATE TABLE topics (no INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, topic_id TEXT NOT NULL, epoch INTEGER NOT NULL);
CREATE TABLE partitions (topic INTEGER NOT NULL, partition INTEGER NOT NULL, start_offset INTEGER NOT NULL,
    end_offset INTEGER NOT NULL, PRIMARY KEY (topic, partition)) WITHOUT ROWID;
CREATE TABLE batches (topic INTEGER NOT NULL, partition INTEGER NOT NULL, base INTEGER NOT NULL,
    last INTEGER NOT NULL, appended INTEGER NOT NULL, data BLOB NOT NULL);
CREATE UNIQUE INDEX batches_by_offset ON batches (topic, partition, last);
CREATE TABLE positions (grp TEXT NOT NULL, topic TEXT NOT NULL, partition INTEGER NOT NULL,
    next_offset INTEGER NOT NULL, PRIMARY KEY (grp, topic, partition)) WITHOUT ROWID;
CREATE TABLE state (grp TEXT NOT NULL, partition INTEGER NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL,
    PRIMARY KEY (grp, partition, key)) WITHOUT ROWID;
"""


class PartitionRow(NamedTuple):
    """One partition as the file has it. ``no``: the topic's number in the file."""

    no: int
    topic: str
    topic_id: str
    epoch: int
    partition: int
    start: int
    end: int


class Head(NamedTuple):
    """A batch without its records. ``timestamp``: when it was appended, epoch ms."""

    base: int
    last: int
    timestamp: int


class LogFile:
    """The open file. ``lock`` must be held around everything that reads and then writes."""

    def __init__(self, path: Path, topics: Iterable[Topic], partitions: int, now_ms: int) -> None:
        self.path = path
        self.lock = threading.RLock()
        self._db = self._connect()
        try:
            self._prepare()
            self._add_topics(topics, partitions, now_ms)
        except BaseException:
            self._db.close()
            raise

    def _connect(self) -> sqlite3.Connection:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LogError(f"{self.path}: {error}. {_FOLDER}") from error
        with self._explained():
            return sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=_LOCK_WAIT_S)

    def _prepare(self) -> None:
        with self._explained():
            found = self._db.execute("PRAGMA application_id").fetchone()[0]
            tables = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if tables and (found != _APPLICATION_ID or version != FORMAT):
            raise LogError(
                f"{self.path} is not a log of this version (application {found:#x}, format {version}): "
                "move it away, or choose another data folder"
            )
        with self._explained():
            for pragma in _PRAGMAS:
                self._db.execute(pragma)
        if not tables:
            with self.transaction():
                for statement in _SCHEMA.split(";"):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
                self._db.execute(f"PRAGMA user_version = {FORMAT}")

    def _add_topics(self, topics: Iterable[Topic], partitions: int, now_ms: int) -> None:
        epoch = max(1, (now_ms - _EPOCH_FROM_MS) // 60_000)
        with self.transaction():
            known = {name for (name,) in self._db.execute("SELECT name FROM topics")}
            for topic in topics:
                if topic.name in known:
                    continue
                number = self._db.execute(
                    "INSERT INTO topics (name, topic_id, epoch) VALUES (?, ?, ?)",
                    (topic.name, secrets.token_hex(8), epoch),
                ).lastrowid
                self._db.executemany(
                    "INSERT INTO partitions VALUES (?, ?, 0, 0)", ((number, p) for p in range(partitions))
                )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turns SQLite's errors into ones that name the file and say what to do."""
        try:
            yield
        except sqlite3.Error as error:
            raise LogError(f"{self.path}: {error}. {_advice(error)}") from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All statements inside, or none of them."""
        with self.lock, self._explained():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def partitions(self) -> list[PartitionRow]:
        """Every partition of every topic in the file."""
        with self.lock, self._explained():
            rows = self._db.execute(
                "SELECT no, name, topic_id, epoch, partition, start_offset, end_offset"
                " FROM topics JOIN partitions ON topic = no ORDER BY no, partition"
            ).fetchall()
        return [PartitionRow(*row) for row in rows]

    def positions(self) -> dict[tuple[str, str, int], int]:
        """{(group, topic, partition): next offset}"""
        with self.lock, self._explained():
            rows = self._db.execute("SELECT grp, topic, partition, next_offset FROM positions").fetchall()
        return {(group, topic, partition): offset for group, topic, partition, offset in rows}

    def save_positions(self, group: str, positions: Mapping[TopicPartition, int]) -> None:
        self._db.executemany(
            "INSERT INTO positions VALUES (?, ?, ?, ?)"
            " ON CONFLICT (grp, topic, partition) DO UPDATE SET next_offset = excluded.next_offset",
            ((group, tp.topic, tp.partition, offset) for tp, offset in positions.items()),
        )

    def state(self, group: str, partition: int) -> State:
        with self.lock, self._explained():
            rows = self._db.execute(
                "SELECT key, value FROM state WHERE grp = ? AND partition = ?", (group, partition)
            ).fetchall()
        return dict(rows)

    def save_state(self, group: str, partition: int, changes: StateChange) -> None:
        self._db.executemany(
            "DELETE FROM state WHERE grp = ? AND partition = ? AND key = ?",
            ((group, partition, key) for key, value in changes.items() if value is None),
        )
        self._db.executemany(
            "INSERT INTO state VALUES (?, ?, ?, ?)"
            " ON CONFLICT (grp, partition, key) DO UPDATE SET value = excluded.value",
            ((group, partition, key, value) for key, value in changes.items() if value is not None),
        )

    def save_chunk(self, no: int, partition: int, chunk: Chunk) -> None:
        self._db.execute(
            "INSERT INTO batches VALUES (?, ?, ?, ?, ?, ?)",
            (no, partition, chunk.base, chunk.last, chunk.timestamp, chunk.data),
        )

    def save_bounds(self, no: int, partition: int, start: int, end: int) -> None:
        self._db.execute(
            "UPDATE partitions SET start_offset = ?, end_offset = ? WHERE topic = ? AND partition = ?",
            (start, end, no, partition),
        )

    def delete_to(self, no: int, partition: int, last: int) -> None:
        """Forget every batch that ends at ``last`` or before."""
        self._db.execute("DELETE FROM batches WHERE topic = ? AND partition = ? AND last <= ?", (no, partition, last))

    def heads(self, no: int, partition: int, most: int) -> list[Head]:
        """The oldest batches, without reading their records."""
        with self.lock, self._explained():
            rows = self._db.execute(
                "SELECT base, last, appended FROM batches WHERE topic = ? AND partition = ? ORDER BY last LIMIT ?",
                (no, partition, most),
            ).fetchall()
        return [Head(*row) for row in rows]

    def chunks_to(self, no: int, partition: int, last: int) -> list[Chunk]:
        """Every batch that ends at ``last`` or before."""
        with self.lock, self._explained():
            rows = self._db.execute(
                "SELECT base, last, appended, data FROM batches"
                " WHERE topic = ? AND partition = ? AND last <= ? ORDER BY last",
                (no, partition, last),
            ).fetchall()
        return [Chunk(base, last, appended, self._columns(data)) for base, last, appended, data in rows]

    def chunks(self, no: int, partition: int, start: int, max_records: int) -> list[Chunk]:
        """The batches from the one that holds ``start`` on, until ``max_records`` or the end."""
        rows, held = [], 0
        with self.lock, self._explained():
            found = self._db.execute(
                "SELECT base, last, appended, data FROM batches"
                " WHERE topic = ? AND partition = ? AND last >= ? ORDER BY last",
                (no, partition, start),
            )
            for row in found:
                rows.append(row)
                held += row[1] - max(row[0], start) + 1
                if held >= max_records:
                    break
            found.close()
        # Decoding is most of the work: it happens outside the lock, so a long read does not hold up writers.
        return [Chunk(base, last, appended, self._columns(data)) for base, last, appended, data in rows]

    def _columns(self, data: bytes) -> Columns:
        try:
            return unpack(data)
        except msgspec.MsgspecError as error:
            raise LogError(f"{self.path}: a batch is unreadable ({error}). {_RESTORE}") from error

    def close(self) -> None:
        with self.lock:
            self._db.close()


_FOLDER: Final = "The data folder must exist and be writable"
_RESTORE: Final = "The file is damaged: restore it, or move it away and start with an empty log"


def _advice(error: sqlite3.Error) -> str:
    text = str(error)
    if "locked" in text:
        return "Another process has this log open: stop it, or choose another data folder"
    if "full" in text or "I/O" in text:
        return "Make room on the disk; nothing was written"
    if "unable to open" in text or "readonly" in text:
        return _FOLDER
    return _RESTORE
