"""The state of a group's partitions as of their committed offsets, from the compacted changelog.

The order is what makes it right: first the committed offset, then the high watermark as it is without regard to
transactions, then reading committed records until the position has passed that mark. Up to the last stable offset
alone, a dead transaction of somebody else would hide the newest state while the newest offset is already known.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec
import structlog
from confluent_kafka import Consumer, KafkaException, TopicPartition

from ingestion.log import port
from ingestion.log.kafka_clients import Clients, ask
from ingestion.log.kafka_ranges import read_to_end
from ingestion.log.port import LogError

_log = structlog.get_logger(__name__)

META_KEY: Final = "__meta"
META_VERSION: Final = 1
# Transactions of dead processes are gone after their time and the broker's look around, 20 s by default.
RESTORE_S: Final = 50.0
_QUESTION_S: Final = 10.0


class Meta(msgspec.Struct, frozen=True):
    """What the changelog says of itself in every transaction. ``topic_id``: the life of the input topic."""

    next_offset: int
    topic_id: str
    version: int = META_VERSION


class Restored(NamedTuple):
    """Where to go on reading, and the state as of there."""

    next_offset: int
    state: dict[str, bytes]


class CorruptState(LogError):
    """State and committed offset do not belong together: going on would publish wrong data."""


class MovedOn(LogError):
    """Somebody else has committed for this partition meanwhile: leave, and join the group again."""


class Input(NamedTuple):
    """A partition that is read: the port's name of it, the cluster's, and the life of its topic."""

    place: port.TopicPartition
    physical: str
    topic_id: str


def restore(
    clients: Clients,
    consumer: Consumer,
    inputs: Sequence[Input],
    changelog: str | None,
    progress: Callable[[], None],
) -> dict[port.TopicPartition, Restored]:
    """Position and state of each partition. ``changelog``: its topic, None for a group without state.

    Raises KafkaException, CorruptState, MovedOn, and LogError when it takes too long.
    """
    until = time.monotonic() + RESTORE_S
    committed = _committed(consumer, inputs, until)
    progress()
    if changelog is None:
        return {item.place: Restored(max(committed[item.place], 0), {}) for item in inputs}
    places = [TopicPartition(changelog, item.place.partition) for item in inputs]
    marks = _high_watermarks(clients, places)
    states: dict[int, dict[str, bytes]] = {item.place.partition: {} for item in inputs}
    for count, message in enumerate(read_to_end(clients, places, until, marks)):
        key, value = (message.key() or b"").decode(), message.value()
        if value is None:
            states[message.partition()].pop(key, None)
        else:
            states[message.partition()][key] = value
        if count % 10_000 == 0:
            progress()
    return {item.place: checked(item, committed[item.place], states[item.place.partition]) for item in inputs}


def _committed(consumer: Consumer, inputs: Sequence[Input], until: float) -> Mapping[port.TopicPartition, int]:
    """Waits while a transaction with offsets is undecided."""
    asked = [TopicPartition(item.physical, item.place.partition) for item in inputs]
    answers = ask(lambda: consumer.committed(asked, timeout=_QUESTION_S), until)
    for answer in answers:
        if answer.error:
            raise KafkaException(answer.error)
    return {item.place: answer.offset for item, answer in zip(inputs, answers, strict=True)}


def _high_watermarks(clients: Clients, places: Sequence[TopicPartition]) -> list[int]:
    settings = {**clients.config.consumer("streamloom-marks"), "isolation.level": "read_uncommitted"}
    asker = clients.consumer(settings)
    try:
        until = time.monotonic() + _QUESTION_S
        return [
            ask(lambda place=place: asker.get_watermark_offsets(place, timeout=_QUESTION_S), until)[1]  # type: ignore[misc]
            for place in places
        ]
    finally:
        asker.close()


def checked(item: Input, committed: int, state: dict[str, bytes]) -> Restored:
    """Position and state, if they belong together. Raises CorruptState, MovedOn."""
    meta = _meta(item, state.pop(META_KEY, None))
    name = f"{item.place.topic}[{item.place.partition}]"
    if meta is None:
        if committed >= 0 or state:
            raise CorruptState(f"{name}: offset {committed} is committed but the changelog does not know it. {_STOP}")
        return Restored(0, state)
    if meta.topic_id != item.topic_id:
        raise CorruptState(
            f"{name}: the state belongs to topic id {meta.topic_id}, the topic has {item.topic_id}: it was made anew."
            " Delete the group's changelog topic too, run create_topics, and start with an empty state"
        )
    # The group's offsets expire after a week without members; the changelog does not.
    if 0 <= committed < meta.next_offset:
        raise MovedOn(f"{name}: the state is at {meta.next_offset}, committed is {committed}: somebody else goes on")
    if meta.next_offset < committed:
        raise CorruptState(f"{name}: the state is at {meta.next_offset} but {committed} is committed. {_STOP}")
    return Restored(meta.next_offset, state)


_STOP: Final = "Records of the changelog are lost: do not go on with it; see docs/operations.md"


def _meta(item: Input, data: bytes | None) -> Meta | None:
    if data is None:
        return None
    try:
        meta = msgspec.json.decode(data, type=Meta)
    except msgspec.MsgspecError as error:
        raise CorruptState(f"{item.place.topic}: the changelog's {META_KEY} is unreadable: {error}") from error
    if meta.version != META_VERSION:
        raise CorruptState(f"the changelog has version {meta.version}, this program reads {META_VERSION}")
    return meta


def encode_meta(next_offset: int, topic_id: str) -> bytes:
    """The record that goes into the changelog with every commit."""
    return msgspec.json.encode(Meta(next_offset, topic_id))
