"""The log of services mode: Kafka, for any number of processes.

A commit is one Kafka transaction: outputs, the changelog of the group's state, and the group's offsets. Every
reader sees committed records only. Clients are made when first needed, never at import and never before a fork.
"""

import os
import threading
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import structlog
from confluent_kafka import Consumer, KafkaException
from confluent_kafka import TopicPartition as Place
from confluent_kafka.admin import AdminClient

from ingestion.log import kafka_epochs
from ingestion.log.kafka_append import Appender
from ingestion.log.kafka_clients import ANSWER_S, Clients, ask, explained
from ingestion.log.kafka_config import KafkaConfig
from ingestion.log.kafka_epochs import Life
from ingestion.log.kafka_ranges import Ranges
from ingestion.log.kafka_reader import KafkaReader
from ingestion.log.kafka_tail import KafkaTail
from ingestion.log.kafka_topics import look
from ingestion.log.kafka_transaction import Message
from ingestion.log.port import (
    GroupBusy,
    LogClosed,
    LogError,
    Reader,
    Record,
    StateChange,
    Stored,
    TopicPartition,
)
from ingestion.log.topics import CATALOGUE, INTERNAL, STATE_OF, Topic

_log = structlog.get_logger(__name__)

# Topics are made anew by hand only; after this the id is asked again.
_IDS_LIVE_S: Final = 5.0
_CREATE: Final = "run manage.py create_topics"


class _Facts(NamedTuple):
    topic_id: str
    partitions: int


class KafkaLog:
    """The log port on a cluster. ``topics``: those it knows (their existence is seen when first used)."""

    def __init__(
        self, config: KafkaConfig, *, clients: Clients | None = None, topics: Sequence[Topic] = (*CATALOGUE, *INTERNAL)
    ) -> None:
        self.closed = False
        self._config = config
        self._clients = clients or Clients(config)
        self._names = {topic.name: config.name(topic.name) for topic in topics}
        self._pid = os.getpid()
        self._guard = threading.RLock()
        self._facts: dict[str, _Facts] = {}
        self._facts_at = 0.0
        self._lives: dict[str, Life] = {}
        self._admin: AdminClient | None = None
        self._appender = Appender(self._clients)
        self._ranges = Ranges(self._clients)
        self._bystanders: dict[str, Consumer] = {}
        self._readers: dict[str, KafkaReader] = {}
        self._tails: list[KafkaTail] = []

    # --- writing ----------------------------------------------------------------------------------

    def append(self, topic: str, records: Iterable[Record]) -> None:
        """Returns when the brokers have acknowledged all records. Raises LogError, LogClosed."""
        messages = list(self._outgoing((topic, record) for record in records))
        if messages:
            self._appender.append(messages)

    def commit(
        self,
        reader: Reader,
        outputs: Sequence[tuple[str, Record]],
        state: Mapping[int, StateChange],
        positions: Mapping[TopicPartition, int],
    ) -> None:
        """One transaction. Raises Aborted (the next poll starts over) and LogError (end this process)."""
        mine = self._readers.get(reader.group)
        if mine is None or mine is not reader:
            raise LogError(f"the reader of {reader.group} was closed: it may not commit")
        # A list: an unknown topic must be known before the transaction begins.
        mine.commit(list(self._outgoing(outputs)), state, positions)

    def _outgoing(self, outputs: Iterable[tuple[str, Record]]) -> Iterator[Message]:
        self._check_open()
        places: dict[tuple[str, str], tuple[str, int]] = {}
        for topic, record in outputs:
            key, value, schema = record
            place = places.get((topic, key))
            if place is None:
                place = places[topic, key] = self.physical(topic), self.partition_of(topic, key)
            yield (*place, key, value, schema)

    def report(self, group: str, positions: Mapping[TopicPartition, int]) -> None:
        """Commit the offsets of a group that has no members, for lag displays; a failure is told and forgotten."""
        if not positions:
            return
        offsets = [Place(self.physical(topic), partition, at) for (topic, partition), at in positions.items()]
        bystander = self._bystander(group)
        try:
            bystander.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            _log.warning("kafka_report_failed", group=group, error=str(error), hint="only lag displays are late")

    # --- reading ----------------------------------------------------------------------------------

    def reader(self, group: str, topics: Sequence[str]) -> KafkaReader:
        """The reader of ``group`` in this process and slot; its first poll joins the group. Raises GroupBusy."""
        changelog = STATE_OF.get(group)
        with self._guard:
            self._check_open()
            if group in self._readers:
                raise GroupBusy(f"{group} has an active reader in this process")
            self._check_changelog(topics, changelog)
            reader = KafkaReader(
                self._clients, self, group, topics, changelog and self.physical(changelog.name), self._forget
            )
            self._readers[group] = reader
        return reader

    def _check_changelog(self, topics: Sequence[str], changelog: Topic | None) -> None:
        if changelog is not None and any(self.partitions(name) != self.partitions(changelog.name) for name in topics):
            raise LogError(f"{changelog.name} must have as many partitions as {topics}: {_CREATE} --check")

    def _forget(self, reader: KafkaReader) -> None:
        with self._guard:
            if self._readers.get(reader.group) is reader:
                del self._readers[reader.group]

    def rewind(self, reader: Reader) -> None:
        """The next poll assigns everything again, as committed last."""
        self._readers[reader.group].rewind()

    def tail(self, starts: Mapping[TopicPartition, int]) -> KafkaTail:
        """Read on from ``starts``, or from the oldest record kept."""
        places = {TopicPartition(*place): at for place, at in starts.items()}
        physical = {place.topic: self.physical(place.topic) for place in places}
        with self._guard:
            self._check_open()
            tail = KafkaTail(self._clients, places, physical)
            self._tails = [one for one in self._tails if not one.is_closed] + [tail]
        return tail

    def read_range(self, topic: str, partition: int, start: int, end: int) -> Sequence[Stored]:
        """Every committed record with ``start <= offset < end``. Raises RangeGone, LogError."""
        self._check_place(topic, partition)
        return self._ranges.read(topic, self.physical(topic), partition, start, end)

    # --- facts ------------------------------------------------------------------------------------

    def physical(self, topic: str) -> str:
        """The cluster's name of a topic. Raises LogError for one that is not in the catalogue."""
        try:
            return self._names[topic]
        except KeyError:
            raise LogError(f"no topic {topic!r}: topics are listed in ingestion/log/topics.py") from None

    def partitions(self, topic: str) -> int:
        """How many partitions the topic has."""
        facts = self._facts.get(topic)
        return (facts or self._ask(topic)).partitions

    def partition_of(self, topic: str, key: str) -> int:
        """crc32 of the key: the same in every process, version and language."""
        count = self.partitions(topic)
        return zlib.crc32(key.encode()) % count if count > 1 else 0

    def start_offset(self, topic: str, partition: int) -> int:
        """The oldest offset kept."""
        self._check_place(topic, partition)
        return self._ranges.bounds(self.physical(topic), partition)[0]

    def end_offset(self, topic: str, partition: int) -> int:
        """The last stable offset: behind it lie undecided transactions, or nothing."""
        self._check_place(topic, partition)
        return self._ranges.bounds(self.physical(topic), partition)[1]

    def position(self, group: str, topic: str, partition: int) -> int:
        """What ``group`` has committed or reported; 0 before that. Raises LogError."""
        self._check_place(topic, partition)
        place = Place(self.physical(topic), partition)
        with explained(f"position of {group}"):
            bystander = self._bystander(group)
            until = time.monotonic() + ANSWER_S
            found = ask(lambda: bystander.committed([place], timeout=ANSWER_S), until)[0]
        if found.error:
            raise LogError(f"Kafka: position of {group}: {found.error}")
        return max(found.offset, 0)

    def _bystander(self, group: str) -> Consumer:
        """Asks and tells a group's offsets without being a member of it.

        A consumer: the admin client's question for the same ends the process now and then while a broker is away
        (an assertion in librdkafka 2.16.0). And read_uncommitted: else it waits for transactions.
        """
        with self._guard:
            self._check_open()
            if group not in self._bystanders:
                settings = {**self._config.consumer(group), "isolation.level": "read_uncommitted"}
                self._bystanders[group] = self._clients.consumer(settings)
            return self._bystanders[group]

    def topic_id(self, topic: str) -> str:
        """The cluster's id of this life of the topic. Raises LogError when it was made anew without create_topics."""
        return self._life(topic).topic_id

    def epoch(self, topic: str) -> int:
        """What ``create_topics`` noted for this life of the topic."""
        return self._life(topic).epoch

    def _life(self, topic: str) -> Life:
        with self._guard:
            if topic not in self._facts or time.monotonic() - self._facts_at > _IDS_LIVE_S:
                self._ask(topic)
            topic_id = self._facts[topic].topic_id
            if topic not in self._lives or self._lives[topic].topic_id != topic_id:
                self._lives = kafka_epochs.read(self._clients)
            life = self._lives.get(topic)
        if life is None or life.topic_id != topic_id:
            raise LogError(f"the topic {topic} (id {topic_id}) was made anew and has no epoch yet: {_CREATE}")
        return life

    def _ask(self, topic: str) -> _Facts:
        """Look at all topics again."""
        self.physical(topic)
        with self._guard:
            self._check_open()
            found = look(self._asker(), self._config, self._names)
            self._facts = {name: _Facts(*facts) for name, facts in found.items()}
            self._facts_at = time.monotonic()
            if topic not in self._facts:
                raise LogError(f"the topic {self.physical(topic)} does not exist: {_CREATE}")
            return self._facts[topic]

    def _asker(self) -> AdminClient:
        with self._guard:
            self._check_open()
            if self._admin is None:
                self._admin = self._clients.admin()
            return self._admin

    def _check_place(self, topic: str, partition: int) -> None:
        self._check_open()
        if not 0 <= partition < self.partitions(topic):
            raise LogError(f"no partition {partition} of topic {topic!r}")

    # --- the end ----------------------------------------------------------------------------------

    def _check_open(self) -> None:
        if self.closed:
            raise LogClosed("the log was closed")
        if self._pid != os.getpid():
            raise LogError("this log was made before a fork: its clients do nothing here. Open another")

    def close(self) -> None:
        """End every wait, then let the sockets go."""
        self.closed = True
        with self._guard:
            readers, tails, bystanders = list(self._readers.values()), self._tails, list(self._bystanders.values())
            self._tails, self._bystanders, self._admin = [], {}, None
        self._appender.close()
        for tail in tails:
            tail.end()
        for reader in readers:
            reader.close()
        for bystander in bystanders:
            bystander.close()
        self._ranges.close()
