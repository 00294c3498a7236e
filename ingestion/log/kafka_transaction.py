"""One Kafka transaction: everything in it or nothing, and what to do with each kind of failure."""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import structlog
from confluent_kafka import KafkaException, Producer, TopicPartition

from ingestion.log.kafka_clients import SCHEMA_1, Clients, explained, headers_of, insist, kafka_error
from ingestion.log.port import Aborted, LogError

_log = structlog.get_logger(__name__)

# One try of a call; tries go on for less than the watchdog's patience.
_TRY_S: Final = 10.0
_TRIES_S: Final = 25.0
_ROOM_S: Final = 30.0


# A record on its way out: the cluster's name of the topic, partition, key, value (None deletes the key of a compacted
# topic), schema. A plain tuple: a named one costs as much to build as librdkafka takes to queue it.
Message = tuple[str, int, str, bytes | None, int]


class Transactions:
    """The transactional producer of one reader. For one thread."""

    def __init__(self, clients: Clients, group: str) -> None:
        """Ends the transaction that a former process with the same slot left open, and fences that process."""
        self._group = group
        self._producer: Producer = clients.producer(clients.config.transactional(group))
        until = time.monotonic() + _TRIES_S
        with explained(f"take the transactional id of {group}"):
            insist(lambda: self._producer.init_transactions(_TRY_S), until)

    def run(self, messages: Iterable[Message], offsets: Sequence[TopicPartition], member: Callable[[], Any]) -> None:
        """Commit the messages with the group's offsets. ``member``: the group's metadata, asked when needed.

        Raises Aborted when nothing was kept and the same producer may go on; LogError when this process must end.
        """
        try:
            self._producer.begin_transaction()
            self._produce(messages)
            self._finish(offsets, member)
        except (KafkaException, SystemError, BufferError) as error:
            raise self._after(error) from error
        except BaseException:
            self._abort()
            raise

    def _produce(self, messages: Iterable[Message]) -> None:
        produce = self._producer.produce
        for topic, partition, key, value, schema in messages:
            headers = SCHEMA_1 if schema == 1 else headers_of(schema)
            try:
                produce(topic, value, key, partition, headers=headers)
            except BufferError:
                self._make_room()
                produce(topic, value, key, partition, headers=headers)

    def _make_room(self) -> None:
        """Let half of the queue go out."""
        half, until = len(self._producer) // 2, time.monotonic() + _ROOM_S
        while len(self._producer) > half and time.monotonic() < until:
            self._producer.poll(0.05)

    def _finish(self, offsets: Sequence[TopicPartition], member: Callable[[], Any]) -> None:
        until = time.monotonic() + _TRIES_S
        if offsets:
            found = member()
            insist(lambda: self._producer.send_offsets_to_transaction(list(offsets), found, _TRY_S), until)
        insist(lambda: self._producer.commit_transaction(_TRY_S), until)

    def _after(self, error: Exception) -> LogError:
        """The error to raise, once what had to be done about it is done."""
        found = kafka_error(error)
        if found is None and not isinstance(error, BufferError):
            raise error
        text = "the brokers take nothing" if found is None else f"{found.name()}, {found.str()}"
        if found is not None and (found.fatal() or not found.txn_requires_abort()):
            return LogError(f"{self._group}: the transaction failed for good: {text}. This process must end")
        self._abort()
        _log.warning("kafka_transaction_aborted", group=self._group, error=text, hint="it goes on from the last one")
        return Aborted(f"{self._group}: the transaction was aborted: {text}")

    def _abort(self) -> None:
        until = time.monotonic() + _TRIES_S
        with explained(f"abort a transaction of {self._group}; this process must end"):
            insist(lambda: self._producer.abort_transaction(_TRY_S), until)

    def close(self) -> None:
        """Drop what was never committed, without waiting for anybody."""
        self._producer.purge()
