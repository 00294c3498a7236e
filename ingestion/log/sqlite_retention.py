"""Retention and compaction of the sqlite log: what may go, and when.

A batch goes when it is older than its topic's retention and every group has read it. In a compacted
topic the newest record of each key stays; what stays is merged into one batch with its old offsets.
"""

from collections.abc import Iterable, Sequence
from itertools import takewhile
from typing import Final

from ingestion.log.port import Stored, TopicPartition
from ingestion.log.sqlite_chunk import Chunk
from ingestion.log.sqlite_file import LogFile
from ingestion.log.topics import Topic

TRIM_EVERY_MS: Final = 60_000
# One run takes no more batches than this from a partition, so that writers are never held up for long.
_BATCHES_A_RUN: Final = 5_000
_RECORDS_A_READ: Final = 50_000


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
        last, count = self._old(no, place, needed_from, now_ms - topic.retention_ms)
        if not count:
            return 0, 0
        kept: list[Stored] = []
        if topic.compacted:
            old = self._file.chunks_to(no, place.partition, last)
            kept = self._kept(no, place, old)
            count = sum(map(len, old)) - len(kept)
        return (self._replace(no, place, last, kept, end), count) if count else (0, 0)

    def _old(self, no: int, place: TopicPartition, needed_from: int, before_ms: int) -> tuple[int, int]:
        """(the last offset that may go, how many offsets that is), by the heads of the batches alone."""
        first = self._file.heads(no, place.partition, 1)
        if not first or first[0].timestamp >= before_ms:  # almost always: look no further
            return -1, 0
        heads = self._file.heads(no, place.partition, _BATCHES_A_RUN)
        old = list(takewhile(lambda head: head.timestamp < before_ms and head.last < needed_from, heads))
        return (old[-1].last, sum(head.last - head.base + 1 for head in old)) if old else (-1, 0)

    def _kept(self, no: int, place: TopicPartition, old: Sequence[Chunk]) -> list[Stored]:
        if place not in self._newest:
            self._newest[place] = self._read_newest(no, place)
        newest = self._newest[place]
        return [r for chunk in old for r in chunk.records(*place) if newest.get(r.key) == r.offset]

    def _read_newest(self, no: int, place: TopicPartition) -> dict[str, int]:
        newest: dict[str, int] = {}
        at = 0
        while chunks := self._file.chunks(no, place.partition, at, _RECORDS_A_READ):
            for chunk in chunks:
                _remember(newest, chunk, place)
            at = chunks[-1].last + 1
        return newest

    def _replace(self, no: int, place: TopicPartition, last: int, kept: list[Stored], end: int) -> int:
        with self._file.transaction():
            self._file.delete_to(no, place.partition, last)
            if kept:
                self._file.save_chunk(no, place.partition, Chunk.kept(kept))
            rest = self._file.heads(no, place.partition, 1)
            start = rest[0].base if rest else end
            self._file.save_bounds(no, place.partition, start, end)
        return start


def _remember(newest: dict[str, int], chunk: Chunk, place: TopicPartition) -> None:
    for record in chunk.records(*place):
        newest[record.key] = record.offset
