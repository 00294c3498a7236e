"""A fresh set of topics on the test's broker, and a log that waits until what it committed can be read."""

import itertools
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from confluent_kafka import TopicPartition as Place

from ingestion.log import kafka_epochs, kafka_topics
from ingestion.log.kafka import KafkaLog
from ingestion.log.kafka_clients import Clients
from ingestion.log.kafka_config import KafkaConfig
from ingestion.log.kafka_reader import KafkaReader
from ingestion.log.port import Batch, Reader, Record, StateChange, TopicPartition
from ingestion.log.topics import CANDLES_LIVE, ENRICHED_TRADES, PROCESSOR_STATE, RAW_TRADES, Topic
from ingestion.tests.log.material import SOON_S

TOPICS: Final[tuple[Topic, ...]] = (RAW_TRADES, ENRICHED_TRADES, CANDLES_LIVE, PROCESSOR_STATE)
_LOOK_S: Final = 0.005
_numbers = itertools.count()


def fresh_prefix() -> str:
    """Puts this test's topics and groups apart from everybody else's."""
    return f"t{os.getpid()}.{time.time_ns() // 1_000_000 % 10**7}.{next(_numbers)}."


def config_of(brokers: str, prefix: str, slot: int = 0) -> KafkaConfig:
    return KafkaConfig(brokers, slot=slot, prefix=prefix, session_timeout_s=6.0)


def make_topics(config: KafkaConfig, partitions: int = 1, topics: Sequence[Topic] = TOPICS) -> None:
    """What ``create_topics`` does, for a few topics."""
    clients = Clients(config)
    admin = clients.admin()
    wanted = kafka_topics.specs(partitions, topics=topics)
    kafka_topics.create(admin, config, wanted)
    ids = {name: topic_id for name, (topic_id, _) in kafka_topics.look(admin, config, [s.name for s in wanted]).items()}
    kafka_epochs.settle(clients, ids, time.time_ns() // 1_000_000)


def let_retention_take(config: KafkaConfig, log: KafkaLog, topics: Sequence[str]) -> None:
    """Everything these topics hold now is gone, as after their retention."""
    admin = Clients(config).admin()
    ends = [
        Place(config.name(name), p, log.end_offset(name, p)) for name in topics for p in range(log.partitions(name))
    ]
    for answer in admin.delete_records(ends).values():
        answer.result(timeout=SOON_S)


def wait_until(is_so: Callable[[], bool], what: str, within_s: float = SOON_S) -> None:
    until = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < until, f"not within {within_s} s: {what}"
        time.sleep(_LOOK_S)


class PatientReader:
    """Joining a group and fetching take their time: the first poll waits for both, if there is something to fetch."""

    def __init__(self, log: KafkaLog, reader: KafkaReader) -> None:
        self._log, self.inner, self.group = log, reader, reader.group
        self.is_fresh = True

    def poll(self, max_records: int, timeout_s: float) -> Batch:
        if not self.is_fresh:
            return self.inner.poll(max_records, timeout_s)
        self.is_fresh = False
        until = time.monotonic() + SOON_S
        batch = self.inner.poll(max_records, 1.0)
        while not batch.assigned and not self.inner.is_closed:
            assert time.monotonic() < until, "the group gave nothing"
            batch = self.inner.poll(max_records, 1.0)
        if timeout_s and not batch.records and any(map(self._has_more, batch.assigned)):
            batch = batch._replace(records=self.inner.poll(max_records, 2.0).records)
        return batch

    def _has_more(self, place: TopicPartition) -> bool:
        return self._log.end_offset(*place) > self._log.position(self.group, *place)

    def close(self) -> None:
        self.inner.close()


class SettledKafkaLog(KafkaLog):
    """A commit returns some milliseconds before readers see it; the suite's lines follow each other faster."""

    def reader(self, group: str, topics: Sequence[str]) -> PatientReader:  # type: ignore[override]
        return PatientReader(self, super().reader(group, topics))

    def rewind(self, reader: Reader) -> None:
        super().rewind(reader)
        reader.is_fresh = True  # type: ignore[attr-defined]

    def commit(
        self,
        reader: Reader,
        outputs: Sequence[tuple[str, Record]],
        state: Mapping[int, StateChange],
        positions: Mapping[TopicPartition, int],
    ) -> None:
        places = {(topic, self.partition_of(topic, record.key)) for topic, record in outputs if topic in self._names}
        before = {place: self.end_offset(*place) for place in places}
        super().commit(reader.inner, outputs, state, positions)  # type: ignore[attr-defined]
        wait_until(lambda: all(self.end_offset(*place) > end for place, end in before.items()), "outputs readable")
        wait_until(lambda: self._is_committed(reader.group, positions), "offsets readable")

    def _is_committed(self, group: str, positions: Mapping[TopicPartition, int]) -> bool:
        return all(self.position(group, *place) == offset for place, offset in positions.items())
