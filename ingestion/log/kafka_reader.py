"""The reader of a group: which partitions are ours, their state, and what comes next in them."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

import structlog
from confluent_kafka import Consumer, Message, TopicPartition

from ingestion.log import port
from ingestion.log.kafka_clients import Clients, explained, is_passing, some, stored
from ingestion.log.kafka_restore import META_KEY, Input, encode_meta, restore
from ingestion.log.kafka_transaction import Message as Outgoing
from ingestion.log.kafka_transaction import Transactions
from ingestion.log.kafka_watchdog import Watchdog
from ingestion.log.port import Aborted, Batch, LogClosed, LogError, StateChange

_log = structlog.get_logger(__name__)

# How long a waiting poll does not look up: a stop is noticed after this at the latest.
_SLICE_S: Final = 0.1
# A transaction that is not over by then has outlived its time-out, and the brokers refuse it.
_COMMIT_SHARE: Final = 0.5
_NOTHING: Final = Batch((), {}, frozenset())


class Topics(Protocol):
    """What a reader needs to know of topics."""

    closed: bool

    def physical(self, topic: str) -> str:
        """The cluster's name of it."""

    def topic_id(self, topic: str) -> str: ...

    def start_offset(self, topic: str, partition: int) -> int: ...


class KafkaReader:
    """Static member of its group by the classic protocol; its commits are transactions.

    Whatever is not committed is void after a rebalance, an abort or a rewind: the next poll restores all
    partitions from the changelog and gives them as ``assigned``.
    """

    def __init__(
        self,
        clients: Clients,
        topics: Topics,
        group: str,
        inputs: Sequence[str],
        changelog: str | None,
        forget: Callable[["KafkaReader"], None],
    ) -> None:
        if changelog is not None and len(inputs) != 1:
            raise LogError(f"{group} keeps state: it reads exactly one topic, not {list(inputs)}")
        self.group = group
        self._clients, self._topics, self._changelog, self._forget = clients, topics, changelog, forget
        self._inputs = {topics.physical(name): name for name in inputs}
        self._lock = threading.RLock()
        self._watchdog = Watchdog(group, clients.config.stuck_after_s)
        self._consumer: Consumer | None = None
        self._transactions: Transactions | None = None
        self.is_closed = False
        # What the group gave us, and where each of them stands as committed (empty until restored).
        self._owned: list[TopicPartition] = []
        self._next: dict[port.TopicPartition, int] = {}
        self._lost: set[port.TopicPartition] = set()
        self._has_changed = False
        self._must_restore = False

    # --- reading ----------------------------------------------------------------------------------

    def poll(self, max_records: int, timeout_s: float) -> Batch:
        """As the port says. Raises LogError when this process must end: nothing of it can be mended here."""
        deadline = time.monotonic() + timeout_s
        while not self.is_closed:
            if self._topics.closed:
                raise LogClosed("the log was closed")
            with self._lock:
                batch = self._turn(max_records, min(_SLICE_S, max(deadline - time.monotonic(), 0.0)))
            if batch.records or batch.assigned or batch.revoked or time.monotonic() >= deadline:
                return batch
        return _NOTHING

    def _turn(self, max_records: int, wait_s: float) -> Batch:
        if self.is_closed:
            return _NOTHING
        with self._watchdog.watching("poll"), explained(f"read for {self.group}"):
            consumer = self._started()
            messages = some(consumer, max_records, 0 if self._must_restore else wait_s)
            if self._has_changed or self._must_restore:
                # These were fetched from places that count no more.
                messages = []
            assigned = self._restore() if self._must_restore else {}
            lost, self._lost, self._has_changed = frozenset(self._lost), set(), False
            return Batch(self._checked(messages), assigned, lost)

    def _started(self) -> Consumer:
        if self._transactions is None:
            # First: it ends our predecessor's transaction, for which a restore would have to wait.
            self._transactions = Transactions(self._clients, self.group)
        if self._consumer is None:
            self._consumer = self._clients.consumer(self._clients.config.member(self.group))
            self._consumer.subscribe(
                list(self._inputs), on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_revoke
            )
        return self._consumer

    def _checked(self, messages: list[Message]) -> list[port.Stored]:
        records = []
        for message in messages:
            error = message.error()
            if error is None:
                records.append(stored(message, self._inputs[message.topic()]))
            elif is_passing(error):
                _log.warning("kafka_read_error", group=self.group, error=error.str(), hint="it is tried again")
            else:
                # Not reset in silence: a start decides anew from what is committed, and tells what is gone.
                raise LogError(f"{self.group}: {message.topic()}[{message.partition()}]: {error.name()}, {error.str()}")
        return records

    # --- whose partitions -------------------------------------------------------------------------

    def _on_assign(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        # Nothing is fetched before the state is there; ``_restore`` assigns with positions.
        consumer.assign([])
        self._owned = places
        self._has_changed = self._must_restore = True

    def _on_revoke(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        """Eager protocol: all of them. What was not committed is void; whoever gets them repeats it."""
        consumer.unassign()
        self._lost.update(self._next)
        self._next = {}
        self._owned = []
        self._has_changed, self._must_restore = True, False

    def rewind(self) -> None:
        """The next poll starts over from what is committed."""
        self._must_restore = bool(self._owned)

    def _restore(self) -> dict[port.TopicPartition, port.State]:
        assert self._consumer is not None
        inputs = [
            Input(port.TopicPartition(name, place.partition), place.topic, self._topics.topic_id(name))
            for place in self._owned
            for name in (self._inputs[place.topic],)
        ]
        progress = self._watchdog.progress
        found = restore(self._clients, self._consumer, inputs, self._changelog, progress) if inputs else {}
        starts = {item.place: self._from_kept(item.place, found[item.place].next_offset) for item in inputs}
        self._consumer.assign([TopicPartition(i.physical, i.place.partition, starts[i.place]) for i in inputs])
        self._next = {place: restored.next_offset for place, restored in found.items()}
        self._must_restore = False
        _log.info("kafka_assigned", group=self.group, positions={f"{t}/{p}": at for (t, p), at in starts.items()})
        return {place: restored.state for place, restored in found.items()}

    def _from_kept(self, place: port.TopicPartition, offset: int) -> int:
        oldest = self._topics.start_offset(*place)
        if offset and offset < oldest:
            _log.error(
                "kafka_records_gone",
                group=self.group,
                **place._asdict(),
                first=offset,
                lost=oldest - offset,
                hint="retention took them before they were read; trades of that time come back by repair or backfill",
            )
        return max(offset, oldest)

    # --- committing -------------------------------------------------------------------------------

    def commit(
        self,
        outputs: Sequence[Outgoing],
        state: Mapping[int, StateChange],
        positions: Mapping[port.TopicPartition, int],
    ) -> None:
        """Outputs, state and offsets in one transaction. Raises Aborted, LogError."""
        with self._lock, self._watchdog.watching("commit", _COMMIT_SHARE):
            if self.is_closed or self._consumer is None:
                raise LogError(f"the reader of {self.group} is closed or was never polled: it may not commit")
            following = self._following(state, positions)
            physical = {name: topic for topic, name in self._inputs.items()}
            offsets = [TopicPartition(physical[place.topic], place.partition, at) for place, at in following.items()]
            changes = self._changes(state, following)
            assert self._transactions is not None  # the poll that gave us partitions made it
            try:
                self._transactions.run([*outputs, *changes], offsets, self._member)
            except Aborted:
                # A producer that lost a batch counts wrongly from then on (seen: OUT_OF_ORDER_SEQUENCE_NUMBER).
                self._transactions.close()
                self._transactions = None
                self.rewind()
                raise
            self._next |= following

    def _member(self) -> Any:
        assert self._consumer is not None
        return self._consumer.consumer_group_metadata()

    def _following(
        self, state: Mapping[int, StateChange], positions: Mapping[port.TopicPartition, int]
    ) -> dict[port.TopicPartition, int]:
        """The next offset of each partition that the commit touches. A change of state alone repeats the last one."""
        following = dict(positions)
        if state and self._changelog is None:
            raise LogError(f"{self.group} has no changelog: name one in ingestion/log/topics.py")
        for name in self._inputs.values() if state else ():
            for partition in state:
                place = port.TopicPartition(name, partition)
                following.setdefault(place, self._next.get(place, 0))
        foreign = [place for place in following if place not in self._next]
        if foreign or self._must_restore:
            raise Aborted(f"{self.group}: {foreign or 'everything'} was taken back before the commit")
        return following

    def _changes(
        self, state: Mapping[int, StateChange], following: Mapping[port.TopicPartition, int]
    ) -> list[Outgoing]:
        if self._changelog is None:
            return []
        changes: list[Outgoing] = [
            (self._changelog, partition, key, value, 1)
            for partition, change in state.items()
            for key, value in change.items()
        ]
        for place, offset in following.items():
            meta = encode_meta(offset, self._topics.topic_id(place.topic))
            changes.append((self._changelog, place.partition, META_KEY, meta, 1))
        return changes

    def close(self) -> None:
        """Leave without a word: a static member that comes back within the session gets its partitions at once."""
        self.is_closed = True
        with self._lock:
            if self._transactions is not None:
                self._transactions.close()
                self._transactions = None
            if self._consumer is not None:
                self._consumer.close()
                self._consumer = None
            self._watchdog.stop()
        self._forget(self)
