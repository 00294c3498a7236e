"""What the sqlite log keeps in memory of one partition: its bounds, its newest batches, who waits for more."""

from bisect import bisect_left
from operator import attrgetter
from typing import Final

from ingestion.log.port import TopicPartition
from ingestion.log.sqlite_chunk import Chunk
from ingestion.log.sqlite_file import PartitionRow
from ingestion.log.sqlite_readers import Waiting

# Enough for every reader that keeps up to find what it needs in memory.
_CACHED_RECORDS: Final = 4_000
_last = attrgetter("last")


class Partition:
    """What is known of one partition in memory. Guarded by the log's ``_memory`` lock."""

    def __init__(self, row: PartitionRow) -> None:
        self.no, self.place = row.no, TopicPartition(row.topic, row.partition)
        self.topic_id, self.epoch = row.topic_id, row.epoch
        self.start, self.end = row.start, row.end
        self._recent: list[Chunk] = []
        self._recent_records = 0
        self.readers: set[Waiting] = set()

    def take(self, chunk: Chunk) -> None:
        """Show a committed batch to readers."""
        self._recent.append(chunk)
        self._recent_records += len(chunk)
        self.end = chunk.last + 1
        while self._recent_records > _CACHED_RECORDS and len(self._recent) > 1:
            self._recent_records -= len(self._recent.pop(0))

    def cached(self, offset: int) -> list[Chunk] | None:
        """The batches from ``offset`` on, or None when the file must be asked."""
        if not self._recent or offset < self._recent[0].base:
            return None
        return self._recent[bisect_left(self._recent, offset, key=_last) :]
