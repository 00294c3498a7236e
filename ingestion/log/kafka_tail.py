"""Reading on from given places, for as long as wanted, without a group."""

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Final

import structlog
from confluent_kafka import Message, TopicPartition

from ingestion.log import port
from ingestion.log.kafka_clients import Clients, explained, is_passing, some, stored
from ingestion.log.port import LogClosed, LogError, Stored

_log = structlog.get_logger(__name__)

_GROUP: Final = "streamloom-tail"  # named in requests, never joined
_SLICE_S: Final = 0.1


class KafkaTail:
    """Committed records from given offsets on; from the oldest one kept where retention has passed the start."""

    def __init__(
        self, clients: Clients, starts: Mapping[port.TopicPartition, int], physical: Mapping[str, str]
    ) -> None:
        self._names = {physical[topic]: topic for topic, _ in starts}
        self._starts = {(physical[place.topic], place.partition): max(at, 0) for place, at in starts.items()}
        self._lock = threading.Lock()
        self.is_closed = False
        self._is_log_closed = False
        with explained("tail"):
            self._consumer = clients.consumer({**clients.config.consumer(_GROUP), "auto.offset.reset": "earliest"})
            self._consumer.assign([TopicPartition(*place, at) for place, at in self._starts.items()])

    def poll(self, max_records: int, timeout_s: float) -> Sequence[Stored]:
        """The next records of all partitions, or nothing after ``timeout_s``. Raises LogClosed, LogError."""
        deadline = time.monotonic() + timeout_s
        while not self.is_closed:
            wait_s = min(_SLICE_S, max(deadline - time.monotonic(), 0.0))
            with self._lock, explained("tail"):
                records = [] if self.is_closed else self._checked(some(self._consumer, max_records, wait_s))
            if records or time.monotonic() >= deadline:
                return records
        if self._is_log_closed:
            raise LogClosed("the log was closed")
        return []

    def _checked(self, messages: Sequence[Message]) -> list[Stored]:
        records = []
        for message in messages:
            error = message.error()
            if error is None:
                # A start behind the end is reset to the oldest record: what lies before it was not asked for.
                if message.offset() >= self._starts[message.topic(), message.partition()]:
                    records.append(stored(message, self._names[message.topic()]))
            elif is_passing(error):
                _log.warning("kafka_tail_error", error=error.str(), hint="it is tried again")
            else:
                raise LogError(f"Kafka: tail of {message.topic()}: {error.name()}, {error.str()}")
        return records

    def end(self) -> None:
        """The log closes: a waiting poll raises LogClosed."""
        self._is_log_closed = True
        self.close()

    def close(self) -> None:
        self.is_closed = True
        with self._lock:
            self._consumer.close()
