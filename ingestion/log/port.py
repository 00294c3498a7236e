"""The log: the one port through which records travel, and the promises each adapter keeps.

Two adapters pass one contract suite: ``sqlite`` (embedded, one process) and ``kafka`` (services).
Everything else is written against this page.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol


class Record(NamedTuple):
    """A record on its way in. ``key`` is the symbol: records of one key keep their order."""

    key: str
    value: bytes
    schema: int = 1


class Stored(NamedTuple):
    """A record on its way out. ``timestamp`` is when the log took it (epoch ms, machine's clock)."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: str
    value: bytes
    schema: int


class TopicPartition(NamedTuple):
    topic: str
    partition: int


# The state of one partition of a stateful role: key (the symbol) -> bytes. None deletes a key.
State = Mapping[str, bytes]
StateChange = Mapping[str, bytes | None]


class Batch(NamedTuple):
    """One answer of ``poll``.

    ``assigned`` holds the partitions that this reader has newly got, each with its state as of the
    position it starts from (every partition with the first poll when embedded). ``revoked`` holds
    those it has lost: forget their state, commit nothing for them. ``records`` are in order per partition.
    A batch that assigns or revokes anything starts over: whatever was polled before it and is not committed
    is void, and what is still owned comes again under ``assigned``.
    """

    records: Sequence[Stored]
    assigned: Mapping[TopicPartition, State]
    revoked: frozenset[TopicPartition]


class Reader(Protocol):
    """A place in some topics, kept for a group: reading goes on where the last commit left off."""

    group: str

    def poll(self, max_records: int, timeout_s: float) -> Batch:
        """The next records, at once when there are some, else after up to ``timeout_s`` an empty batch."""

    def close(self) -> None:
        """Give the partitions back. A ``poll`` that waits in another thread returns empty."""


class Tail(Protocol):
    """Reads committed records without a group and holds nothing back (web processes)."""

    def poll(self, max_records: int, timeout_s: float) -> Sequence[Stored]:
        """The next records of all tailed partitions, or nothing after ``timeout_s``."""

    def close(self) -> None: ...


class Log(Protocol):
    """A durable, ordered, partitioned log. Only committed records are ever seen by anyone."""

    def append(self, topic: str, records: Iterable[Record]) -> None:
        """Take the records durably before returning.

        Embedded, all or none of them. On Kafka a kill or an error in the middle may leave the first ones of each
        partition, in order: whoever appends has consumers for whom a repeated record changes nothing.
        Waits while the topic's back-pressure says so (DESIGN section 5); raises LogClosed when the log is closed
        meanwhile.
        """

    def reader(self, group: str, topics: Sequence[str]) -> Reader:
        """The reader of ``group``. One at a time per group when embedded; a second raises GroupBusy."""

    def commit(
        self,
        reader: Reader,
        outputs: Sequence[tuple[str, Record]],
        state: Mapping[int, StateChange],
        positions: Mapping[TopicPartition, int],
    ) -> None:
        """Outputs (topic, record), state changes (by partition) and positions (next offset to read) in one
        atomic step: after a kill at any point all of it is there or nothing. Never waits for back-pressure.

        Raises Aborted when nothing of it was kept and the reader goes on: the next poll starts over.
        """

    def rewind(self, reader: Reader) -> None:
        """Go back to what was committed last: the next poll assigns all partitions and their state again."""

    def tail(self, starts: Mapping[TopicPartition, int]) -> Tail:
        """Read on from ``starts``; a start below what is kept begins at the oldest record kept."""

    def read_range(self, topic: str, partition: int, start: int, end: int) -> Sequence[Stored]:
        """Every record with ``start <= offset < end``. Raises RangeGone when retention took a part of it."""

    def partitions(self, topic: str) -> int:
        """How many partitions the topic has; fixed when it was made."""

    def partition_of(self, topic: str, key: str) -> int:
        """The partition that records of ``key`` go to."""

    def start_offset(self, topic: str, partition: int) -> int:
        """The oldest offset kept."""

    def end_offset(self, topic: str, partition: int) -> int:
        """The offset after the last committed record."""

    def position(self, group: str, topic: str, partition: int) -> int:
        """The next offset that ``group`` will read, as committed; 0 before its first commit."""

    def report(self, group: str, positions: Mapping[TopicPartition, int]) -> None:
        """Say where a reader that keeps its own truth stands (the sink): for lag and back-pressure only."""

    def topic_id(self, topic: str) -> str:
        """A name that changes when the topic is made anew."""

    def epoch(self, topic: str) -> int:
        """Rises when the topic is made anew (the upper part of every ``seq``)."""

    def close(self) -> None:
        """Stop waiting calls and release the files or sockets."""


class LogError(Exception):
    """Something is wrong with the log that the caller cannot mend."""


class LogClosed(LogError):
    """The log was closed while a call waited."""


class Aborted(LogError):
    """A commit did not happen. Forget everything since the last one: the next poll starts over from there."""


class GroupBusy(LogError):
    """Another reader of the group is active in this process."""


class RangeGone(LogError):
    """Retention has taken records that were asked for: ``oldest`` is the first offset that is kept."""

    def __init__(self, topic: str, partition: int, start: int, oldest: int) -> None:
        super().__init__(f"{topic}[{partition}] begins at {oldest}, asked for {start}")
        self.oldest = oldest
