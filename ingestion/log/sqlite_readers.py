"""Readers of the sqlite log: a place in some partitions, and a wake-up instead of polling."""

import threading
import time
from bisect import bisect_left
from collections.abc import Sequence
from operator import attrgetter
from typing import Protocol

from ingestion.log.port import Batch, LogClosed, State, Stored, TopicPartition
from ingestion.log.sqlite_chunk import Chunk

_offset = attrgetter("offset")
_NOTHING = Batch((), {}, frozenset())


class Source(Protocol):
    """What readers need of the log."""

    closed: bool

    def chunks_from(self, place: TopicPartition, offset: int, max_records: int) -> Sequence[Chunk]:
        """The committed batches from the one that holds ``offset`` on; empty at the end."""

    def forget(self, reader: "Waiting") -> None:
        """Wake this reader no more."""


class Cursor:
    """A place in one partition. Keeps the batches it is in, so that none is decoded twice."""

    def __init__(self, source: Source, place: TopicPartition, position: int) -> None:
        self._source = source
        self._place = place
        self.position = position
        self._chunks: list[Chunk] = []

    def take(self, max_records: int) -> list[Stored]:
        """Up to ``max_records`` next records; the position moves behind them."""
        taken: list[Stored] = []
        while len(taken) < max_records:
            wanted = max_records - len(taken)
            if not self._chunks:
                # Newest first, because they are popped from the end.
                self._chunks = list(self._source.chunks_from(self._place, self.position, wanted))[::-1]
                if not self._chunks:
                    break
            taken += self._from_chunk(self._chunks[-1], wanted)
        return taken

    def _from_chunk(self, chunk: Chunk, wanted: int) -> list[Stored]:
        records = chunk.records(*self._place)
        first = bisect_left(records, self.position, key=_offset) if self.position > chunk.base else 0
        if first + wanted >= len(records):
            self._chunks.pop()
            self.position = chunk.last + 1
            return records[first:]
        self.position = records[first + wanted].offset
        return records[first : first + wanted]


class Waiting:
    """Cursors over some partitions, and the wait for more."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._cursors: list[Cursor] = []
        self._turn = 0
        self._closed = False
        self.woken = threading.Event()

    def _wait_for_records(self, max_records: int, timeout_s: float) -> list[Stored]:
        deadline = time.monotonic() + timeout_s
        while not self._closed:
            if self._source.closed:
                raise LogClosed("the log was closed")
            # Cleared before looking: an append between the look and the wait sets it again.
            self.woken.clear()
            records = self._take(max_records)
            remaining = deadline - time.monotonic()
            if records or remaining <= 0:
                return records
            self.woken.wait(remaining)
        return []

    def _take(self, max_records: int) -> list[Stored]:
        """Partitions take turns at being first, so that a busy one cannot starve the others."""
        cursors, self._turn = self._cursors, self._turn + 1
        records: list[Stored] = []
        for step in range(len(cursors)):
            if len(records) >= max_records:
                break
            cursor = cursors[(self._turn + step) % len(cursors)]
            records += cursor.take(max_records - len(records))
        return records

    def close(self) -> None:
        self._closed = True
        self.woken.set()
        self._source.forget(self)


class SqliteTail(Waiting):
    """Reads on from given offsets and holds nothing back."""

    def __init__(self, source: Source, starts: dict[TopicPartition, int]) -> None:
        super().__init__(source)
        self._cursors = [Cursor(source, place, start) for place, start in starts.items()]

    def poll(self, max_records: int, timeout_s: float) -> Sequence[Stored]:
        """The next records of all partitions, or nothing after ``timeout_s``. Raises LogClosed."""
        return self._wait_for_records(max_records, timeout_s)


class Snapshot(Protocol):
    """What was committed last for a group: position and state of each of its partitions."""

    def __call__(self) -> dict[TopicPartition, tuple[int, State]]: ...


class SqliteReader(Waiting):
    """The one active reader of a group."""

    def __init__(self, source: Source, group: str, snapshot: Snapshot) -> None:
        super().__init__(source)
        self.group = group
        self._snapshot = snapshot
        self._assign = True

    @property
    def is_closed(self) -> bool:
        return self._closed

    def rewind(self) -> None:
        """The next poll starts over from what was committed last."""
        self._assign = True
        self.woken.set()

    def poll(self, max_records: int, timeout_s: float) -> Batch:
        """The first poll, and the first after a rewind, answers at once with all partitions. Raises LogClosed."""
        if self._closed:
            return _NOTHING
        assigned: dict[TopicPartition, State] = {}
        if self._assign:
            self._assign = False
            found = self._snapshot()
            self._cursors = [Cursor(self._source, place, start) for place, (start, _) in found.items()]
            assigned = {place: state for place, (_, state) in found.items()}
        records = self._wait_for_records(max_records, 0 if assigned else timeout_s)
        return Batch(records, assigned, frozenset())
