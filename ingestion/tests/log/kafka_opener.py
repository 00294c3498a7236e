"""Opens the Kafka log in a child process that may kill itself at an aimed moment of an append or a transaction."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

import structlog
from confluent_kafka import Producer

from ingestion.log.kafka_clients import Clients
from ingestion.log.port import Log
from ingestion.tests.log.kafka_place import TOPICS, SettledKafkaLog, config_of

# The brokers are at work on the end of the transaction by then, and not done.
_INTO_COMMIT_S: Final = 0.002


class _Moments:
    """Counts what the producer does, and ends the process at the n-th of it."""

    def __init__(self, kill_at: int) -> None:
        self._left = kill_at

    def pass_one(self) -> bool:
        """Whether this is the moment."""
        self._left -= 1
        return self._left == 0

    def die_here(self) -> None:
        if self.pass_one():
            _die()


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class DyingProducer(Producer):
    """Moments: before begin, after each record, before and after the offsets, before, inside and after the commit."""

    moments: _Moments

    def begin_transaction(self, *args: Any) -> None:
        self.moments.die_here()
        super().begin_transaction(*args)

    def produce(self, *args: Any, **named: Any) -> None:
        super().produce(*args, **named)
        self.moments.die_here()

    def send_offsets_to_transaction(self, *args: Any) -> None:
        self.moments.die_here()
        super().send_offsets_to_transaction(*args)
        self.moments.die_here()

    def commit_transaction(self, *args: Any) -> None:
        self.moments.die_here()
        if self.moments.pass_one():
            threading.Timer(_INTO_COMMIT_S, _die).start()
        super().commit_transaction(*args)
        self.moments.die_here()


class DyingClients(Clients):
    """Clients whose producers die at the n-th moment."""

    def __init__(self, config: Any, kill_at: int) -> None:
        super().__init__(config)
        self._moments = _Moments(kill_at)

    def producer(self, settings: Mapping[str, Any]) -> Producer:
        made = DyingProducer(dict(settings))
        made.moments = self._moments
        return made


def place_of(brokers: str, prefix: str, slot: int = 0, kill_at: int | None = None) -> str:
    """What ``open_to_be_killed`` understands."""
    return f"{brokers} {prefix} {slot} {kill_at or 0}"


def open_to_be_killed(place: str) -> Log:
    """The log at ``brokers prefix slot n``; with n its process kills itself at the n-th moment of its producers."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    brokers, prefix, slot, kill_at = place.split()
    config = config_of(brokers, prefix, int(slot))
    make: Callable[..., Clients] = Clients if kill_at == "0" else DyingClients
    clients = make(config) if kill_at == "0" else make(config, int(kill_at))
    return SettledKafkaLog(config, clients=clients, topics=TOPICS)
