"""Appending outside of transactions: an idempotent producer, and a wait until every record is acknowledged."""

import threading
import time
from collections.abc import Iterable
from typing import Any, Final

import structlog
from confluent_kafka import KafkaError, KafkaException, Producer

from ingestion.log.kafka_clients import Clients, explained, headers_of, kafka_error
from ingestion.log.kafka_transaction import Message
from ingestion.log.port import LogClosed, LogError

_log = structlog.get_logger(__name__)

_POLL_S: Final = 0.02
_COMPLAIN_EVERY_S: Final = 10.0


class _Receipts:
    """What has been said of the records of one append, by whichever thread heard it."""

    def __init__(self) -> None:
        self.sent = 0
        self._answers: list[KafkaError | None] = []  # appending is atomic, counting is not

    def take(self, error: KafkaError | None, _: Any) -> None:
        self._answers.append(error)

    @property
    def left(self) -> int:
        return self.sent - len(self._answers)

    @property
    def error(self) -> KafkaError | None:
        return next((error for error in self._answers if error is not None), None)


class Appender:
    """One producer for all threads of the process, made with the first append."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._guard = threading.Lock()
        self._producer: Producer | None = None
        self._is_closed = False

    def append(self, messages: Iterable[Message]) -> None:
        """Returns when all of them are acknowledged. Raises LogError (some may be there), LogClosed."""
        producer, receipts = self._made(), _Receipts()
        try:
            for message in messages:
                self._produce(producer, message, receipts)
            self._wait(producer, receipts)
        except (KafkaException, SystemError) as error:
            self._drop_if_fatal(producer, kafka_error(error))
            with explained("append"):
                raise
        if receipts.error is not None:
            self._drop_if_fatal(producer, receipts.error)
            raise LogError(f"Kafka: append: {receipts.error.name()}, {receipts.error.str()}")

    def _produce(self, producer: Producer, message: Message, receipts: _Receipts) -> None:
        topic, partition, key, value, schema = message
        while True:
            try:
                producer.produce(topic, value, key, partition, on_delivery=receipts.take, headers=headers_of(schema))
                receipts.sent += 1
                return
            except BufferError:
                # As much is on its way as the queue holds: the brokers are slow or away.
                self._check_open()
                producer.poll(_POLL_S)

    def _wait(self, producer: Producer, receipts: _Receipts) -> None:
        complain_at = time.monotonic() + _COMPLAIN_EVERY_S
        while receipts.left > 0:
            producer.poll(_POLL_S)
            self._check_open()
            if time.monotonic() >= complain_at:
                complain_at += _COMPLAIN_EVERY_S
                _log.warning("append_waits", unacknowledged=receipts.left, hint="are KAFKA_BROKERS away?")

    def _drop_if_fatal(self, producer: Producer, error: KafkaError | None) -> None:
        """After a fatal error a producer is good for nothing; the next append makes another."""
        if error is not None and error.fatal():
            with self._guard:
                if self._producer is producer:
                    self._producer = None

    def _made(self) -> Producer:
        with self._guard:
            self._check_open()
            if self._producer is None:
                with explained("make a producer"):
                    self._producer = self._clients.producer(self._clients.config.producer())
            return self._producer

    def _check_open(self) -> None:
        if self._is_closed:
            raise LogClosed("the log was closed")

    def close(self) -> None:
        """Drop what waits: those who wait for it get LogClosed."""
        self._is_closed = True
        with self._guard:
            if self._producer is not None:
                self._producer.purge()
                self._producer = None
