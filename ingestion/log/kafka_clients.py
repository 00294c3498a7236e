"""Where clients of Kafka are made, and how their errors become errors of the log.

Nothing here is made at import, and nothing survives a fork: see ``ingestion.log``.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, TypeVar

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import AdminClient

from ingestion.log.kafka_config import KafkaConfig
from ingestion.log.port import LogError, Stored

_log = structlog.get_logger(__name__)

T = TypeVar("T")
# How long one question to the cluster may take. Outages are longer: then the caller hears of it.
ANSWER_S: Final = 15.0


class Clients:
    """Makes clients. Tests pass a subclass whose producers die where they are told to."""

    def __init__(self, config: KafkaConfig) -> None:
        self.config = config

    def consumer(self, settings: Mapping[str, Any]) -> Consumer:
        return Consumer({"error_cb": _tell, **settings})

    def producer(self, settings: Mapping[str, Any]) -> Producer:
        return Producer({"error_cb": _tell, **settings})

    def admin(self) -> AdminClient:
        # Keep the object as long as its answers are awaited: they die with it.
        return AdminClient({"error_cb": _tell, **self.config.common()})


_TELL_EVERY_S: Final = 10.0
_told_at: dict[str, float] = {}


def _tell(error: KafkaError) -> None:
    """Each kind of error once in a while: a client that cannot connect says so several times a second."""
    now = time.monotonic()
    if not error.fatal() and now - _told_at.get(error.name(), float("-inf")) < _TELL_EVERY_S:
        return
    _told_at[error.name()] = now
    _log.warning(
        "kafka_error", error=error.str(), code=error.name(), fatal=error.fatal(), hint="is KAFKA_BROKERS reachable?"
    )


def kafka_error(error: BaseException) -> KafkaError | None:
    """The broker's or librdkafka's error inside an exception, if there is one.

    A fatal error that meets a callback comes as SystemError with the KafkaException as its cause.
    """
    if isinstance(error, SystemError) and error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, KafkaException) and error.args and isinstance(error.args[0], KafkaError):
        return error.args[0]
    return None


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn Kafka's exceptions into LogError that says what was being done."""
    try:
        yield
    except (KafkaException, SystemError) as error:
        found = kafka_error(error)
        if found is None and isinstance(error, SystemError):
            raise
        raise LogError(f"Kafka: {what}: {found.name() + ', ' + found.str() if found else error}") from error


def insist(call: Callable[[], T], until: float) -> T:
    """Call again as long as Kafka says that the same call may be repeated, and until ``until`` (monotonic)."""
    while True:
        try:
            return call()
        except KafkaException as error:
            found = kafka_error(error)
            if found is None or not found.retriable() or time.monotonic() >= until:
                raise


# What a cluster says while leaders move, brokers start, or a topic has just been made. ``retriable()`` speaks of
# transactional calls only.
_PASSING: Final = frozenset(
    (
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError.OFFSET_NOT_AVAILABLE,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.UNSTABLE_OFFSET_COMMIT,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError._TRANSPORT,  # noqa: SLF001 the library's public constants
        KafkaError._DESTROY_BROKER,  # noqa: SLF001
        KafkaError._TIMED_OUT,  # noqa: SLF001
        KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001
        KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001
    )
)
_PAUSE_S: Final = 0.05


def is_passing(error: KafkaError) -> bool:
    """Whether the same question may well be answered a moment later."""
    return not error.fatal() and (error.retriable() or error.code() in _PASSING)


def ask(call: Callable[[], T], until: float) -> T:
    """Ask again while the error is a passing one, and until ``until`` (monotonic)."""
    while True:
        try:
            return call()
        except KafkaException as error:
            found = kafka_error(error)
            if found is None or not is_passing(found) or time.monotonic() >= until:
                raise
            time.sleep(_PAUSE_S)


def some(consumer: Consumer, most: int, wait_s: float) -> list[Message]:
    """What is there, at once; else what comes first. (``consume`` alone waits until it has all of ``most``.)"""
    found = consumer.consume(most, 0)
    if found or not wait_s:
        return found
    first = consumer.poll(wait_s)
    if first is None:
        return []
    return [first, *consumer.consume(most - 1, 0)] if most > 1 else [first]


def stored(message: Message, topic: str) -> Stored:
    """A message as the port gives it."""
    headers = message.headers()
    return _stored(
        (
            topic,
            message.partition(),
            message.offset(),
            message.timestamp()[1],
            (message.key() or b"").decode(),
            message.value() or b"",
            1 if not headers or headers[0] == SCHEMA_1[0] else _schema(headers),
        )
    )


# Half the price of the class's own constructor.
_stored: Final = partial(tuple.__new__, Stored)
SCHEMA_1: Final = [("schema", b"1")]


def headers_of(schema: int) -> list[tuple[str, bytes]]:
    """The ``schema`` header of a record."""
    return SCHEMA_1 if schema == 1 else [("schema", b"%d" % schema)]


def _schema(headers: list[tuple[str, bytes]]) -> int:
    for name, value in headers:
        if name == "schema" and value.isdigit():
            return int(value)
    return 1
