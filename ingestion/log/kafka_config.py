"""What the Kafka log has to know, read once and checked, and the settings of its clients."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

# A record may be this large: a symbol's state grows with its open gaps.
MAX_RECORD_BYTES: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class KafkaConfig:
    """How to reach the brokers, and who this process is among its like.

    ``slot``: the number of this process in its role; it is static member and transactional id, so no two
    processes of a role may have the same. ``prefix``: put before every name of topics, groups and transactional
    ids, for several installations on one cluster. ``security``: librdkafka's settings for TLS and SASL.
    """

    brokers: str
    slot: int = 0
    prefix: str = ""
    security: Mapping[str, str] = field(default_factory=dict, repr=False)
    # A dead process's partitions go to the others after this; its open transaction hides records for no longer.
    session_timeout_s: float = 10.0
    transaction_timeout_s: float = 10.0
    # A call that has not come back after this ends the process (some never do).
    stuck_after_s: float = 60.0

    def __post_init__(self) -> None:
        if not self.brokers:
            raise ValueError("KAFKA_BROKERS is empty: name at least one broker, host:port")
        if self.slot < 0:
            raise ValueError("STREAMLOOM_SLOT must be 0 or more")

    @classmethod
    def from_settings(cls) -> Self:
        """As Django's settings say."""
        from django.conf import settings

        return cls(
            brokers=settings.KAFKA_BROKERS,
            slot=settings.STREAMLOOM_SLOT,
            prefix=settings.KAFKA_PREFIX,
            security=settings.KAFKA_SECURITY,
        )

    def name(self, name: str) -> str:
        """The name of a topic, group or transactional id as the cluster knows it."""
        return self.prefix + name

    def identity(self, group: str) -> str:
        """Static member and transactional id of this process in ``group``."""
        return f"{self.prefix}{group}-{self.slot}"

    def common(self) -> dict[str, Any]:
        """What every client needs."""
        return {
            "bootstrap.servers": self.brokers,
            "client.id": f"streamloom-{self.slot}",
            "reconnect.backoff.max.ms": 2_000,
            "log_level": 2,  # what matters comes through error_cb
            **self.security,
        }

    def consumer(self, group: str) -> dict[str, Any]:
        """A consumer that commits nothing by itself and never resets a position in silence."""
        return {
            **self.common(),
            "group.id": self.name(group),
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",
            "fetch.wait.max.ms": 50,
            # The default waits a second once the local queue has been full.
            "fetch.queue.backoff.ms": 10,
            "queued.max.messages.kbytes": 32_768,
            "fetch.message.max.bytes": MAX_RECORD_BYTES,
        }

    def member(self, group: str) -> dict[str, Any]:
        """The consumer of a group's reader: classic protocol, static member. (KIP-848 refuses a restarted one.)"""
        return {
            **self.consumer(group),
            "group.protocol": "classic",
            "group.instance.id": self.identity(group),
            "session.timeout.ms": int(self.session_timeout_s * 1000),
            "heartbeat.interval.ms": int(self.session_timeout_s * 1000 / 4),
            "max.poll.interval.ms": max(int(self.stuck_after_s), int(self.session_timeout_s)) * 1000,
            "partition.assignment.strategy": "range",
            "fetch.wait.max.ms": 10,
        }

    def producer(self) -> dict[str, Any]:
        """An idempotent producer: acknowledged by all replicas in sync, in order, once."""
        return {
            **self.common(),
            "enable.idempotence": True,
            "acks": "all",
            "linger.ms": 2,
            "compression.type": "lz4",
            "message.max.bytes": MAX_RECORD_BYTES,
            "queue.buffering.max.messages": 200_000,
            "message.timeout.ms": 120_000,
        }

    def transactional(self, group: str) -> dict[str, Any]:
        """The producer of a group's reader; a second one with its id fences the first."""
        timeout_ms = int(self.transaction_timeout_s * 1000)
        return {
            **self.producer(),
            "transactional.id": self.identity(group),
            "transaction.timeout.ms": timeout_ms,
            # librdkafka refuses the producer when these are longer than the transaction.
            "socket.timeout.ms": timeout_ms,
            "message.timeout.ms": timeout_ms,
        }
