"""Exact reading without a group: from here to there, and to the end as it is now."""

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from ingestion.log.kafka_clients import ANSWER_S, Clients, ask, explained, is_passing, some, stored
from ingestion.log.port import LogError, RangeGone, Stored

_GROUP: Final = "streamloom-reads"  # named in requests, never joined
_CHUNK: Final = 5_000
_WAIT_S: Final = 0.2
_RANGE_S: Final = 60.0


class Ranges:
    """Readers of ranges, kept for the next range. For any number of threads."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._idle: list[Consumer] = []
        self._guard = threading.Lock()
        self._facts: Consumer | None = None
        self._is_closed = False

    def bounds(self, physical: str, partition: int) -> tuple[int, int]:
        """(the oldest offset kept, the last stable offset). Raises LogError."""
        place = TopicPartition(physical, partition)
        with explained(f"ends of {physical}[{partition}]"):
            until = time.monotonic() + ANSWER_S
            found = ask(lambda: self._asker().get_watermark_offsets(place, timeout=ANSWER_S, cached=False), until)
        if found is None:
            raise LogError(f"Kafka: ends of {physical}[{partition}]: no answer in {ANSWER_S:.0f} s. Is it running?")
        return found

    def read(self, topic: str, physical: str, partition: int, start: int, end: int) -> list[Stored]:
        """Every committed record with ``start <= offset < end``, never fewer. Raises RangeGone, LogError."""
        low, stable = self.bounds(physical, partition)
        if start < min(low, end):
            raise RangeGone(topic, partition, start, low)
        end = min(end, stable)
        if start >= end:
            return []
        with self._reader() as reader:
            reader.assign([TopicPartition(physical, partition, start)])
            try:
                return self._collect(reader, topic, end)
            except KafkaException as error:
                # Retention may have come while it was read.
                low, _ = self.bounds(physical, partition)
                if start < low:
                    raise RangeGone(topic, partition, start, low) from error
                raise LogError(f"Kafka: read {physical}[{partition}] {start}..{end}: {error}") from error
            finally:
                reader.unassign()

    def _collect(self, reader: Consumer, topic: str, end: int) -> list[Stored]:
        """Offsets skip (markers, aborted records, compaction): only an offset or an end of ``end`` is the end."""
        records: list[Stored] = []
        until = time.monotonic() + _RANGE_S
        while time.monotonic() < until:
            for message in some(reader, _CHUNK, _WAIT_S):
                error = message.error()
                if error is None and message.offset() < end:
                    records.append(stored(message, topic))
                elif error is None or _is_end(error):
                    if message.offset() >= end:
                        return records
                elif not is_passing(error):
                    raise KafkaException(error)
        raise LogError(f"Kafka: {topic}: a range up to {end} could not be read in {_RANGE_S:.0f} s")

    @contextmanager
    def _reader(self) -> Iterator[Consumer]:
        with self._guard:
            reader = self._idle.pop() if self._idle else None
        if reader is None:
            reader = self._clients.consumer(_settings(self._clients))
        try:
            yield reader
        finally:
            with self._guard:
                keep = not self._is_closed
                if keep:
                    self._idle.append(reader)
            if not keep:
                reader.close()

    def _asker(self) -> Consumer:
        with self._guard:
            if self._facts is None:
                self._facts = self._clients.consumer(self._clients.config.consumer(_GROUP))
            return self._facts

    def close(self) -> None:
        with self._guard:
            self._is_closed = True
            idle, self._idle = self._idle, []
            facts, self._facts = self._facts, None
        for reader in (*idle, *([facts] if facts else [])):
            reader.close()


def read_to_end(
    clients: Clients, places: Sequence[TopicPartition], until: float, ends: Sequence[int] | None = None
) -> Iterator[Message]:
    """The committed messages of each place, from the oldest kept up to ``ends``, or to its end as it is now.

    "Up to" goes by position, not by the last message seen: the last offsets may be markers that no reader gets.
    Raises KafkaException, and LogError when ``until`` (monotonic) has passed.
    """
    reader = clients.consumer(_settings(clients))
    try:
        # By number: with OFFSET_BEGINNING a new client waits half a second before it asks where that is.
        bounds = [_bounds(reader, place) for place in places]
        wanted = ends or [stable for _, stable in bounds]
        left = dict(zip(_keys(places), wanted, strict=True))
        pairs = zip(places, bounds, strict=True)
        reader.assign([TopicPartition(place.topic, place.partition, low) for place, (low, _) in pairs])
        while left:
            if time.monotonic() > until:
                raise LogError(f"Kafka: the end of {sorted(left)} was not reached in time: does a transaction hang?")
            for message in some(reader, _CHUNK, _WAIT_S):
                yield from _passed(message, left)
    finally:
        reader.close()


def _passed(message: Message, left: dict[tuple[str, int], int]) -> list[Message]:
    """The message, unless it is news of an end; takes the partition out of ``left`` when its end is reached."""
    error = message.error()
    if error is not None and not _is_end(error):
        if is_passing(error):
            return []
        raise KafkaException(error)
    key = message.topic(), message.partition()
    position = message.offset() + (error is None)
    if position >= left.get(key, position + 1):
        del left[key]
    return [message] if error is None else []


def _bounds(reader: Consumer, place: TopicPartition) -> tuple[int, int]:
    until = time.monotonic() + ANSWER_S
    return ask(lambda: reader.get_watermark_offsets(place, timeout=ANSWER_S), until)


def _keys(places: Iterable[TopicPartition]) -> list[tuple[str, int]]:
    return [(place.topic, place.partition) for place in places]


def _settings(clients: Clients) -> dict[str, object]:
    return {**clients.config.consumer(_GROUP), "enable.partition.eof": True, "fetch.wait.max.ms": 10}


def _is_end(error: KafkaError) -> bool:
    return error.code() == KafkaError._PARTITION_EOF  # noqa: SLF001 the library's public constant
