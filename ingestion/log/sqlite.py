"""The log of embedded mode: one SQLite file, for the threads of one process.

A commit is one SQLite transaction, so outputs, state and positions are all there or not at all.
Readers are woken by events, never by looking again and again; what was appended lately is read
from memory. Retention and compaction are in ``ingestion.log.sqlite_retention``.
"""

import threading
import time
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import structlog

from ingestion.log.port import (
    GroupBusy,
    LogClosed,
    LogError,
    RangeGone,
    Reader,
    Record,
    State,
    StateChange,
    Stored,
    TopicPartition,
)
from ingestion.log.sqlite_chunk import Chunk
from ingestion.log.sqlite_file import LogFile
from ingestion.log.sqlite_partition import Partition
from ingestion.log.sqlite_readers import Cursor, SqliteReader, SqliteTail, Waiting
from ingestion.log.sqlite_retention import TRIM_EVERY_MS, Trim
from ingestion.log.topics import BY_NAME, CATALOGUE, GROUP_PROCESS, RAW_TRADES

_log = structlog.get_logger(__name__)

# Appends to the topic wait for the group. Nobody else waits: a worker that waited for itself would hang.
HELD_BACK_BY: Final = {RAW_TRADES.name: GROUP_PROCESS}
# A row is decoded whole, so a long append is cut into rows of this many records.
_ROW_RECORDS: Final = 2_000
_COMPLAIN_EVERY_S: Final = 10.0


class SqliteLog:
    """The log port on one file. ``partitions`` counts only for topics that the file does not have yet.

    ``max_backlog``: appends to ``raw_trades`` wait while the processor has more unread records in a partition.
    """

    def __init__(
        self,
        path: Path,
        *,
        partitions: int = 1,
        max_backlog: int = 50_000,
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self.closed = False
        self._clock_ms = clock_ms
        self._max_backlog = max_backlog
        self._file = LogFile(path, CATALOGUE, partitions, clock_ms())
        # Held for moments only. Taken after the file's lock, never before it.
        self._memory = threading.Condition()
        self._partitions = {p.place: p for p in map(Partition, self._file.partitions())}
        self._counts: dict[str, int] = defaultdict(int)
        for place in self._partitions:
            self._counts[place.topic] += 1
        self._positions = self._file.positions()
        self._readers: dict[str, SqliteReader] = {}
        self._trim = Trim(self._file)
        self._trimmed_at = clock_ms()

    # --- writing ----------------------------------------------------------------------------------

    def append(self, topic: str, records: Iterable[Record]) -> None:
        """Take the records, all or none. May wait for the processor; raises LogClosed when closed meanwhile."""
        split = self._split((topic, record) for record in records)
        if not split:
            return
        if topic in HELD_BACK_BY:
            self._wait_for_room(HELD_BACK_BY[topic], list(split))
        self._write(split, "", {}, {})
        self._trim_now_and_then()

    def commit(
        self,
        reader: Reader,
        outputs: Sequence[tuple[str, Record]],
        state: Mapping[int, StateChange],
        positions: Mapping[TopicPartition, int],
    ) -> None:
        """Outputs, state and positions in one SQLite transaction. Never waits for back-pressure."""
        if self._readers.get(reader.group) is not reader:
            raise LogError(f"the reader of {reader.group} was closed: it may not commit")
        self._write(self._split(outputs), reader.group, state, positions)
        self._trim_now_and_then()

    def report(self, group: str, positions: Mapping[TopicPartition, int]) -> None:
        """Keep the places of a reader that has its own truth.

        After a loss of power the file may be behind such a reader. Its offsets must not be given out
        a second time, so the partition then goes on from the reported place.
        """
        with self._file.lock:
            self._check_open()
            ahead = {place: offset for place, offset in positions.items() if offset > self._part(place).end}
            with self._file.transaction():
                self._file.save_positions(group, positions)
                for place, offset in ahead.items():
                    part = self._part(place)
                    self._file.save_bounds(part.no, place.partition, part.start, offset)
            with self._memory:
                for place, offset in ahead.items():
                    _log.warning("log behind reader, offsets skipped", group=group, **place._asdict(), to=offset)
                    self._part(place).end = offset
                self._keep_positions(group, positions)

    def _split(self, outputs: Iterable[tuple[str, Record]]) -> dict[TopicPartition, list[Record]]:
        split: dict[TopicPartition, list[Record]] = defaultdict(list)
        places: dict[tuple[str, str], list[Record]] = {}
        for topic, record in outputs:
            try:
                places[topic, record.key].append(record)
            except KeyError:
                place = TopicPartition(topic, self.partition_of(topic, record.key))
                places[topic, record.key] = split[place]
                split[place].append(record)
        return split

    def _write(
        self,
        split: Mapping[TopicPartition, Sequence[Record]],
        group: str,
        state: Mapping[int, StateChange],
        positions: Mapping[TopicPartition, int],
    ) -> None:
        with self._file.lock:
            self._check_open()
            with self._file.transaction():
                chunks = [(self._part(place), self._save(place, records)) for place, records in split.items()]
                for partition, changes in state.items():
                    self._file.save_state(group, partition, changes)
                self._file.save_positions(group, positions)
            # Only now, and still under the file's lock, so that readers see batches in their order.
            self._show(chunks, group, positions)

    def _save(self, place: TopicPartition, records: Sequence[Record]) -> list[Chunk]:
        part, now = self._part(place), self._clock_ms()
        chunks = [
            Chunk.of(part.end + at, now, records[at : at + _ROW_RECORDS]) for at in range(0, len(records), _ROW_RECORDS)
        ]
        for chunk in chunks:
            self._file.save_chunk(part.no, place.partition, chunk)
        self._file.save_bounds(part.no, place.partition, part.start, chunks[-1].last + 1)
        return chunks

    def _show(
        self,
        written: Iterable[tuple[Partition, Sequence[Chunk]]],
        group: str,
        positions: Mapping[TopicPartition, int],
    ) -> None:
        with self._memory:
            self._keep_positions(group, positions)
            for part, chunks in written:
                self._trim.saw(part.place, chunks)
                for chunk in chunks:
                    part.take(chunk)
                for reader in part.readers:
                    reader.woken.set()

    def _keep_positions(self, group: str, positions: Mapping[TopicPartition, int]) -> None:
        for place, offset in positions.items():
            self._positions[group, place.topic, place.partition] = offset
        if positions:
            self._memory.notify_all()

    # --- back-pressure ----------------------------------------------------------------------------

    def _wait_for_room(self, group: str, places: Sequence[TopicPartition]) -> None:
        with self._memory:
            while any(self._unread(group, place) > self._max_backlog for place in places):
                self._check_open()
                if not self._memory.wait(_COMPLAIN_EVERY_S):
                    self._complain(group, places)

    def _unread(self, group: str, place: TopicPartition) -> int:
        part = self._part(place)
        return part.end - max(part.start, self._positions.get((group, *place), 0))

    def _complain(self, group: str, places: Sequence[TopicPartition]) -> None:
        _log.warning(
            "append waits for a reader that is behind",
            group=group,
            unread=max(self._unread(group, place) for place in places),
            limit=self._max_backlog,
            hint=f"{group} is slow or stuck" if group in self._readers else f"{group} does not run here: start it",
        )

    # --- reading ----------------------------------------------------------------------------------

    def reader(self, group: str, topics: Sequence[str]) -> SqliteReader:
        """The reader of ``group`` over all partitions of ``topics``. Raises GroupBusy."""
        places = [TopicPartition(topic, p) for topic in topics for p in range(self.partitions(topic))]
        with self._memory:
            self._check_open()
            if group in self._readers:
                raise GroupBusy(f"{group} has an active reader in this process")
            reader = SqliteReader(self, group, lambda: self._snapshot(group, places))
            self._readers[group] = reader
            self._listen(reader, places)
        return reader

    def _listen(self, reader: Waiting, places: Iterable[TopicPartition]) -> None:
        for place in places:
            self._part(place).readers.add(reader)

    def _snapshot(self, group: str, places: Sequence[TopicPartition]) -> dict[TopicPartition, tuple[int, State]]:
        return {
            place: (self._from_kept(place, self.position(group, *place)), self._file.state(group, place.partition))
            for place in places
        }

    def _from_kept(self, place: TopicPartition, offset: int) -> int:
        return max(offset, self._part(place).start)

    def rewind(self, reader: Reader) -> None:
        """The next poll assigns everything again, as committed last."""
        self._readers[reader.group].rewind()

    def tail(self, starts: Mapping[TopicPartition, int]) -> SqliteTail:
        """Read on from ``starts``, or from the oldest record kept."""
        with self._memory:
            self._check_open()
            kept = {TopicPartition(*place): self._from_kept(place, offset) for place, offset in starts.items()}
            tail = SqliteTail(self, kept)
            self._listen(tail, kept)
        return tail

    def forget(self, reader: Waiting) -> None:
        """Wake this reader no more."""
        with self._memory:
            for part in self._partitions.values():
                part.readers.discard(reader)
            if isinstance(reader, SqliteReader) and self._readers.get(reader.group) is reader:
                del self._readers[reader.group]

    def chunks_from(self, place: TopicPartition, offset: int, max_records: int) -> Sequence[Chunk]:
        """The committed batches from the one that holds ``offset`` on; empty at the end."""
        part = self._part(place)
        with self._memory:
            self._check_open()
            if offset >= part.end:
                return ()
            cached = part.cached(offset)
        return self._file.chunks(part.no, place.partition, offset, max_records) if cached is None else cached

    def read_range(self, topic: str, partition: int, start: int, end: int) -> Sequence[Stored]:
        """Every record with ``start <= offset < end``. Raises RangeGone."""
        place = TopicPartition(topic, partition)
        oldest = self._part(place).start
        if start < min(oldest, end):
            raise RangeGone(topic, partition, start, oldest)
        cursor = Cursor(self, place, start)
        records = cursor.take(end - start) if end > start else []
        # Offsets may skip (compaction), so counting can reach past the end of the range.
        while records and records[-1].offset >= end:
            records.pop()
        if self._part(place).start > max(start, oldest):  # trimmed while it was read
            raise RangeGone(topic, partition, start, self._part(place).start)
        return records

    # --- facts ------------------------------------------------------------------------------------

    def partitions(self, topic: str) -> int:
        """How many partitions the topic has. Raises LogError for an unknown topic."""
        if topic not in self._counts:
            raise LogError(f"no topic {topic!r}: topics are listed in ingestion/log/topics.py")
        return self._counts[topic]

    def partition_of(self, topic: str, key: str) -> int:
        """crc32 of the key: the same in every process, version and language."""
        count = self.partitions(topic)
        return zlib.crc32(key.encode()) % count if count > 1 else 0

    def start_offset(self, topic: str, partition: int) -> int:
        """The oldest offset kept."""
        return self._part((topic, partition)).start

    def end_offset(self, topic: str, partition: int) -> int:
        """The offset after the last committed record."""
        return self._part((topic, partition)).end

    def position(self, group: str, topic: str, partition: int) -> int:
        """The next offset that ``group`` will read, as committed or reported; 0 before that."""
        with self._memory:
            return self._positions.get((group, topic, partition), 0)

    def topic_id(self, topic: str) -> str:
        """A name that changes when the topic is made anew."""
        return self._part((topic, 0)).topic_id

    def epoch(self, topic: str) -> int:
        """The minute in which the topic was made, so a topic made anew has a higher one."""
        return self._part((topic, 0)).epoch

    def _part(self, place: tuple[str, int]) -> Partition:
        try:
            return self._partitions[place]  # type: ignore[index]
        except KeyError:
            raise LogError(f"no partition {place[1]} of topic {place[0]!r}") from None

    # --- the end ----------------------------------------------------------------------------------

    def trim(self) -> int:
        """Delete what is past its retention and read by every group; the number of records taken."""
        with self._file.lock:
            self._check_open()
            self._trimmed_at = self._clock_ms()
            taken = 0
            for part in self._partitions.values():
                bounds = self._needed_from(part), part.end
                start, count = self._trim.run(
                    part.no, part.place, BY_NAME.get(part.place.topic), bounds, self._trimmed_at
                )
                with self._memory:
                    part.start = max(part.start, start)
                taken += count
        return taken

    def _trim_now_and_then(self) -> None:
        if self._clock_ms() - self._trimmed_at >= TRIM_EVERY_MS:
            self.trim()

    def _needed_from(self, part: Partition) -> int:
        """The first offset that a group has still to read. Tails hold nothing back."""
        with self._memory:
            groups = {group for group, *place in self._positions if tuple(place) == part.place}
            groups |= {reader.group for reader in part.readers if isinstance(reader, SqliteReader)}
            places = [self._positions.get((group, *part.place), 0) for group in groups]
            return min([part.end, *places])

    def _check_open(self) -> None:
        if self.closed:
            raise LogClosed("the log was closed")

    def close(self) -> None:
        """Wake everybody who waits, then release the file."""
        with self._memory:
            self.closed = True
            self._memory.notify_all()
            for part in self._partitions.values():
                for reader in part.readers:
                    reader.woken.set()
        self._file.close()
