"""Which life of a topic has which epoch, kept in the compacted topic ``log_epochs``.

Kafka gives a topic a new id when it is made anew, but ids do not rise and ``seq`` must. So ``create_topics``
writes (topic id, epoch) once for each life of a topic: at least one more than the life before, and at least the
minute it is made in, so that epochs rise even when the whole cluster was made anew.
"""

import time
from collections.abc import Mapping
from typing import Final

import msgspec
from confluent_kafka import TopicPartition

from ingestion.log.kafka_clients import ANSWER_S, Clients, explained, headers_of, insist
from ingestion.log.kafka_ranges import read_to_end
from ingestion.log.port import LogError
from ingestion.log.topics import LOG_EPOCHS

_EPOCH_FROM_MS: Final = 1_735_689_600_000  # 2025-01-01: epochs count minutes from here, as in the sqlite log
_WRITER: Final = "create_topics"


class Life(msgspec.Struct, frozen=True):
    """One life of a topic, from its making to its deletion."""

    topic_id: str
    epoch: int


_decode = msgspec.json.Decoder(Life).decode
_encode = msgspec.json.Encoder().encode


def read(clients: Clients) -> dict[str, Life]:
    """The newest known life of each topic. Raises LogError."""
    config = clients.config
    place = TopicPartition(config.name(LOG_EPOCHS.name), 0)
    lives: dict[str, Life] = {}
    with explained(f"read {place.topic}"):
        for message in read_to_end(clients, [place], time.monotonic() + ANSWER_S):
            try:
                lives[(message.key() or b"").decode()] = _decode(message.value() or b"")
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                raise LogError(f"{place.topic}: the record at {message.offset()} is unreadable: {error}") from error
    return lives


def settle(clients: Clients, topic_ids: Mapping[str, str], now_ms: int) -> dict[str, Life]:
    """Give each topic whose id is new an epoch; what was new. Two callers at once cannot both succeed: one is fenced.

    Returns when every process can read it. Raises LogError.
    """
    config = clients.config
    if not new_lives(read(clients), topic_ids, now_ms):
        return {}
    with explained("write epochs"):
        settings = {**config.transactional(_WRITER), "transactional.id": config.name(_WRITER)}
        producer = clients.producer(settings)
        until = time.monotonic() + 2 * ANSWER_S
        # First of all: from here on nobody else's writes can come between reading and writing.
        insist(lambda: producer.init_transactions(ANSWER_S), until)
        new = new_lives(read(clients), topic_ids, now_ms)
        if new:
            producer.begin_transaction()
            for name, life in new.items():
                topic = config.name(LOG_EPOCHS.name)
                producer.produce(topic, _encode(life), key=name, partition=0, headers=headers_of(1))
            insist(lambda: producer.commit_transaction(ANSWER_S), until)
    while new and any(read(clients).get(name) != life for name, life in new.items()):
        if time.monotonic() > until:
            raise LogError(f"{LOG_EPOCHS.name}: what was committed cannot be read yet; run create_topics again")
    return new


def new_lives(known: Mapping[str, Life], topic_ids: Mapping[str, str], now_ms: int) -> dict[str, Life]:
    """The lives that are not known yet."""
    minute = max(1, (now_ms - _EPOCH_FROM_MS) // 60_000)
    new = {}
    for name, topic_id in topic_ids.items():
        life = known.get(name)
        if life is None or life.topic_id != topic_id:
            new[name] = Life(topic_id, minute if life is None else max(minute, life.epoch + 1))
    return new
