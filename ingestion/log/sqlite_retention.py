"""Retention and compaction of the sqlite log: what may go, and when.

A batch goes when it is older than its topic's retention and every group has read it. In a compacted
topic the newest record of each key stays; what stays is merged into one batch with its old offsets.
"""

from collections.abc import Iterable, Sequence
from itertools import takewhile
from typing import Final

from ingestion.log.port import Stored, TopicPartition
from ingestion.log.sqlite_file import Chunk, LogFile
from ingestion.log.topics import Topic

TRIM_EVERY_MS: Final = 60_000
# One run takes no more than this from a partition, so that writers are never held up for long.
_RECORDS_A_RUN: Final = 50_000


class Trim:
    """Deletes old batches. Every call happens under the file's lock."""

    def __init__(self, file: LogFile) -> None:
        self._file = file
        # Of compacted topics: the newest offset of each key; read from the file when first needed.
        self._newest: dict[TopicPartition, dict[str, int]] = {}

    def saw(self, place: TopicPartition, chunks: Iterable[Chunk]) -> None:
        """Keep the newest offsets of a partition up to date (when they are kept at all)."""
        newest = self._newest.get(place)
        if newest is not None:
            for chunk in chunks:
                _remember(newest, chunk, place)

    def run(
        self, no: int, place: TopicPartition, topic: Topic | None, bounds: tuple[int, int], now_ms: int
    ) -> tuple[int, int]:
        """Delete what may go from one partition; (its first offset, records taken).

        ``bounds``: the first offset that somebody still has to read, and the end of the partition.
        """
        needed_from, end = bounds
        if topic is None:  # a topic of another version of the catalogue: not ours to delete
            return 0, 0
        old = self._old(no, place, needed_from, now_ms - topic.retention_ms)
        if not old:
            return 0, 0
        kept = self._kept(no, place, old) if topic.compacted else []
        count = sum(map(len, old)) - len(kept)
        if not count:
            return 0, 0
        return self._replace(no, place, old[-1].last, kept, end), count

    def _old(self, no: int, place: TopicPartition, needed_from: int, before_ms: int) -> Sequence[Chunk]:
        first = self._file.chunks(no, place.partition, 0, 1)
        if not first or first[0].timestamp >= before_ms:  # almost always: look no further
            return []
        chunks = self._file.chunks(no, place.partition, 0, _RECORDS_A_RUN)
        return list(takewhile(lambda chunk: chunk.timestamp < before_ms and chunk.last < needed_from, chunks))

    def _kept(self, no: int, place: TopicPartition, old: Sequence[Chunk]) -> list[Stored]:
        if place not in self._newest:
            self._newest[place] = self._read_newest(no, place)
        newest = self._newest[place]
        return [r for chunk in old for r in chunk.records(*place) if newest.get(r.key) == r.offset]

    def _read_newest(self, no: int, place: TopicPartition) -> dict[str, int]:
        newest: dict[str, int] = {}
        at = 0
        while chunks := self._file.chunks(no, place.partition, at, _RECORDS_A_RUN):
            for chunk in chunks:
                _remember(newest, chunk, place)
            at = chunks[-1].last + 1
        return newest

    def _replace(self, no: int, place: TopicPartition, last: int, kept: list[Stored], end: int) -> int:
        with self._file.transaction():
            self._file.delete_to(no, place.partition, last)
            if kept:
                self._file.save_chunk(no, place.partition, Chunk.kept(kept))
            rest = self._file.chunks(no, place.partition, 0, 1)
            start = rest[0].base if rest else end
            self._file.save_bounds(no, place.partition, start, end)
        return start


def _remember(newest: dict[str, int], chunk: Chunk, place: TopicPartition) -> None:
    for record in chunk.records(*place):
        newest[record.key] = record.offset
