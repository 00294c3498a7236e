"""The catalogue as Kafka's topics: made with their settings, compared with what is there."""

import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

from ingestion.log.kafka_clients import ANSWER_S, explained, kafka_error
from ingestion.log.kafka_config import MAX_RECORD_BYTES, KafkaConfig
from ingestion.log.port import LogError
from ingestion.log.topics import CATALOGUE, INTERNAL, LOG_EPOCHS, Topic

_MINUTE_MS: Final = 60_000
_LOOK_S: Final = 0.05
_COMPACTED: Final = {
    "cleanup.policy": "compact",
    # Only closed segments are compacted; a restore reads whatever is not.
    "segment.ms": str(10 * _MINUTE_MS),
    "min.cleanable.dirty.ratio": "0.1",
    "max.compaction.lag.ms": str(60 * _MINUTE_MS),
}
# Brokers say these as numbers that read differently for the same value.
_NUMBERS: Final = ("min.cleanable.dirty.ratio",)


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic as it should be; ``name`` is the catalogue's."""

    name: str
    partitions: int
    config: Mapping[str, str]


class Difference(NamedTuple):
    """One thing that is not as it should be."""

    topic: str
    setting: str
    wanted: str
    found: str


class Found(NamedTuple):
    """A topic as it is."""

    topic_id: str
    partitions: int
    config: Mapping[str, str]


def specs(partitions: int, replication: int = -1, topics: Iterable[Topic] | None = None) -> list[TopicSpec]:
    """Every topic of the catalogue and the log's own ones. ``replication`` -1: as the brokers' default says."""
    chosen = (*CATALOGUE, *INTERNAL) if topics is None else (*topics, LOG_EPOCHS)
    return [_spec(topic, 1 if topic is LOG_EPOCHS else partitions, replication) for topic in chosen]


def _spec(topic: Topic, partitions: int, replication: int) -> TopicSpec:
    config = {
        # Records of replayed days would fall to retention at once by their own dates.
        "message.timestamp.type": "LogAppendTime",
        "max.message.bytes": str(MAX_RECORD_BYTES),
        "unclean.leader.election.enable": "false",
    }
    if topic.compacted:
        config |= _COMPACTED
    else:
        # Retention takes whole segments: fourteen of them make a record's life that much more exact.
        config |= {
            "cleanup.policy": "delete",
            "retention.ms": str(topic.retention_ms),
            "segment.ms": str(topic.retention_ms // 14),
        }
    if replication >= 3:
        config["min.insync.replicas"] = "2"
    return TopicSpec(topic.name, partitions, config)


def create(admin: AdminClient, config: KafkaConfig, wanted: Iterable[TopicSpec], replication: int = -1) -> list[str]:
    """Make the topics that are not there; their names. Whatever exists is left as it is. Raises LogError."""
    new = [NewTopic(config.name(s.name), s.partitions, replication, config=dict(s.config)) for s in wanted]
    made = []
    for name, answer in admin.create_topics(new, operation_timeout=ANSWER_S, request_timeout=ANSWER_S).items():
        if _settled(answer, KafkaError.TOPIC_ALREADY_EXISTS, f"create topic {name}"):
            made.append(name.removeprefix(config.prefix))
    _wait_for(admin, config, made)
    return made


def _wait_for(admin: AdminClient, config: KafkaConfig, made: list[str]) -> None:
    """Brokers hear of new topics one after the other."""
    until = time.monotonic() + ANSWER_S
    while made and len(look(admin, config, made)) < len(made):
        if time.monotonic() > until:
            raise LogError(f"Kafka: of {made} some cannot be seen yet; run create_topics again")
        time.sleep(_LOOK_S)


def _settled(answer: "Future[Any]", harmless: int, what: str) -> Any:
    """The answer (True for None), or None when it failed for the harmless reason."""
    with explained(what):
        try:
            result = answer.result(timeout=ANSWER_S + 5)
        except KafkaException as error:
            found = kafka_error(error)
            if found is not None and found.code() == harmless:
                return None
            raise
        except TimeoutError as error:
            raise LogError(f"Kafka: {what}: no answer in {ANSWER_S:.0f} s. Is it running?") from error
        return True if result is None else result


def look(admin: AdminClient, config: KafkaConfig, names: Iterable[str]) -> dict[str, tuple[str, int]]:
    """(topic id, number of partitions) of those topics that exist, by the catalogue's name. Raises LogError."""
    physical = {config.name(name): name for name in names}
    answers = admin.describe_topics(TopicCollection(list(physical)), request_timeout=ANSWER_S)
    found = {}
    for name, answer in answers.items():
        topic = _settled(answer, KafkaError.UNKNOWN_TOPIC_OR_PART, f"describe topic {name}")
        if topic is not None:
            found[physical[name]] = str(topic.topic_id), len(topic.partitions)
    return found


def inspect(admin: AdminClient, config: KafkaConfig, names: Iterable[str]) -> dict[str, Found]:
    """What the cluster has of these topics, with every setting."""
    existing = look(admin, config, names)
    if not existing:
        return {}
    resources = [ConfigResource(ResourceType.TOPIC, config.name(name)) for name in existing]
    answers = admin.describe_configs(resources, request_timeout=ANSWER_S)
    settings = {}
    for resource, answer in answers.items():
        entries = _settled(answer, KafkaError.UNKNOWN_TOPIC_OR_PART, f"settings of {resource.name}")
        settings[resource.name.removeprefix(config.prefix)] = {name: entry.value for name, entry in entries.items()}
    return {name: Found(*facts, settings[name]) for name, facts in existing.items()}


def differences(wanted: Iterable[TopicSpec], found: Mapping[str, Found]) -> list[Difference]:
    """Everything that is not as wanted; empty when the processes may run."""
    result = []
    for spec in wanted:
        topic = found.get(spec.name)
        if topic is None:
            result.append(Difference(spec.name, "topic", "exists", "missing"))
            continue
        if topic.partitions != spec.partitions:
            result.append(Difference(spec.name, "partitions", str(spec.partitions), str(topic.partitions)))
        result += [
            Difference(spec.name, setting, value, str(topic.config.get(setting)))
            for setting, value in sorted(spec.config.items())
            if not _same(setting, value, topic.config.get(setting))
        ]
    return result


def _same(setting: str, wanted: str, found: str | None) -> bool:
    if setting in _NUMBERS and found:
        return float(wanted) == float(found)
    return wanted == found
