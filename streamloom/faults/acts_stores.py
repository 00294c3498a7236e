"""What is done to Kafka, Postgres, Redis, ClickHouse and what is in them."""

import os
import random
import signal
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
import redis
from confluent_kafka import Consumer, Producer
from confluent_kafka import TopicPartition as Spot
from confluent_kafka.admin import AdminClient

from ingestion.log.kafka_restore import META_KEY, Meta
from ingestion.log.port import TopicPartition
from ingestion.log.topics import DEAD_LETTERS, ENRICHED_TRADES, PROCESSOR_STATE, RAW_TRADES
from streamloom.faults.acts import kill
from streamloom.faults.crew import run_once
from streamloom.faults.invariants import Finding, Kind
from streamloom.faults.place import PARTITIONS
from streamloom.faults.stage import SYMBOLS, Stage
from streamloom.supervisor.plan import preparations

_GARBAGE: Final = (b"", b"\x00\xff", b"{", b'{"price":1}', b'{"kind":"nonsense","symbol":"BTCUSDT"}')
_PROCESSORS: Final = ("process-0", "process-1")


def broker_away(stage: Stage, chance: random.Random) -> None:
    stage.services.stop("kafka")
    stage.wait(60)
    stage.bring_back("kafka")
    stage.wait(chance.uniform(5, 10))
    stage.services.pause("kafka")
    stage.wait(20)
    stage.services.resume("kafka")


def kill_broker(stage: Stage, chance: random.Random) -> None:
    for _ in range(3):
        stage.services.kill("kafka")
        stage.bring_back("kafka")
        stage.wait(chance.uniform(3, 8))


def lose_redis(stage: Stage, chance: random.Random) -> None:
    for _ in range(3):
        stage.wait(chance.uniform(1, 3))
        with redis.Redis.from_url(stage.place.redis_url) as asked:
            asked.flushall()
    stage.services.kill("redis")
    stage.wait(5)
    stage.bring_back("redis")


def freeze_redis(stage: Stage, chance: random.Random) -> None:
    stage.services.pause("redis")
    stage.wait(60)
    stage.services.resume("redis")


def restart_redis(stage: Stage, chance: random.Random) -> None:
    for _ in range(2):
        stage.services.kill("redis")
        stage.wait(chance.uniform(0.5, 2))
        stage.bring_back("redis")
        stage.wait(3)


def lose_clickhouse(stage: Stage, chance: random.Random) -> None:
    stage.services.stop("clickhouse")
    stage.wait(60)
    stage.bring_back("clickhouse")
    for _ in range(3):
        stage.wait(chance.uniform(2, 5))
        stage.services.kill("clickhouse")
        stage.bring_back("clickhouse")


def lose_postgres(stage: Stage, chance: random.Random) -> None:
    pid = stage.services.pid("postgres")
    assert pid is not None
    # The immediate shutdown: what a crash of the machine would leave.
    os.kill(pid, signal.SIGQUIT)
    stage.until(lambda: stage.services.pid("postgres") is None, "Postgres has ended", 20)
    stage.wait(60)
    stage.bring_back("postgres")
    stage.wait(chance.uniform(3, 6))
    stage.services.kill("postgres")
    stage.bring_back("postgres")


def kill_everything(stage: Stage, chance: random.Random) -> None:
    names = ["kafka", "postgres", "redis", "clickhouse"]
    for _ in range(10):
        stage.wait(chance.uniform(3, 6))
        members = list(stage.crew.members.values())
        for member in members:
            member.hold()
            kill(member, group=True)
        for name in names:
            stage.services.kill(name)
        back: list[Any] = [*members, *names]
        chance.shuffle(back)
        for one in back:
            if isinstance(one, str):
                stage.bring_back(one)
            elif one.starts:
                one.start()
        stage.wait(chance.uniform(3, 6))


def poison(stage: Stage, chance: random.Random) -> list[Finding]:
    topic = stage.place.prefix + RAW_TRADES.name
    before = _letters(stage)
    unknown = b'{"event_time":1,"symbol":"NOSUCH","price":1.0,"qty":1.0,"trade_id":1,"is_buyer_maker":true,'
    unknown += b'"source":"binance","ingest_ts":1,"trade_time":1,"first_id":1,"last_id":1}'
    with_partition = [(value, chance.randrange(PARTITIONS)) for value in (*_GARBAGE, unknown)]
    _write(stage, [(topic, partition, b"BTCUSDT", value) for value, partition in with_partition])
    try:
        stage.until(lambda: _letters(stage) >= before + len(with_partition), "the dead letters", 30)
    except AssertionError as error:
        return [Finding(Kind.LOST, "what nobody can read is a dead letter", 1, str(error))]
    more = _letters(stage) - before - len(with_partition)
    return [Finding(Kind.DOUBLED, "a dead letter is written once", more, DEAD_LETTERS.name)] if more else []


def _letters(stage: Stage) -> int:
    with stage.facts.log() as log:
        name = DEAD_LETTERS.name
        return sum(len(log.read_range(name, p, 0, log.end_offset(name, p))) for p in range(PARTITIONS))


def _write(stage: Stage, messages: Iterable[tuple[str, int, bytes, bytes | None]]) -> None:
    producer = Producer({"bootstrap.servers": stage.place.brokers, "enable.idempotence": True})
    for topic, partition, key, value in messages:
        producer.produce(topic, value, key, partition, headers=[("schema", b"1")])
    left = producer.flush(20)
    assert not left, f"{left} records were not taken"


def spoil_state(stage: Stage, chance: random.Random) -> list[Finding]:
    """Each way to spoil it; between them the state is put right again, from a copy."""
    for name in _PROCESSORS:
        stage.crew[name].hold()
        stage.crew[name].send(signal.SIGTERM)
        stage.crew[name].wait(10)
    topic = stage.place.prefix + PROCESSOR_STATE.name
    with stage.facts.log() as log:
        partition = log.partition_of(RAW_TRADES.name, SYMBOLS[0])
    kept = _changelog(stage, topic, partition)
    meta = kept[META_KEY.encode()]
    findings = _refuses(stage, "an unreadable state", [(topic, partition, SYMBOLS[0].encode(), b'{"v":999}')])
    _put_back(stage, topic, partition, kept)
    lower = _lowered(meta)
    findings += _refuses(stage, "a changelog behind its offset", [(topic, partition, META_KEY.encode(), lower)])
    _put_back(stage, topic, partition, kept)
    # Brokers refuse to cut a compacted topic: each key is deleted as compaction would.
    gone = [(topic, partition, key, None) for key in kept]
    findings += _refuses(stage, "a changelog that lost records", gone)
    _put_back(stage, topic, partition, kept)
    for name in _PROCESSORS:
        stage.crew[name].start()
    return findings


def _refuses(stage: Stage, what: str, messages: Sequence[tuple[str, int, bytes, bytes | None]]) -> list[Finding]:
    """One processor, which gets all partitions, must end by itself and publish nothing."""
    _write(stage, messages)
    member = stage.crew["process-0"]
    before, starts = _enriched_end(stage), member.starts
    member.start()
    findings = []
    try:
        # The other slot's session must end before this one is given its partitions.
        stage.until(lambda: member.starts > starts + 1, f"the processor refuses {what}", 60)
    except AssertionError as error:
        findings.append(Finding(Kind.WRONG, "a processor refuses what it cannot trust", 1, str(error)))
    member.hold()
    kill(member)
    member.wait(5)
    if _enriched_end(stage) != before:
        findings.append(Finding(Kind.WRONG, "a processor refuses what it cannot trust", 1, f"{what}: it published"))
    return findings


def _enriched_end(stage: Stage) -> int:
    with stage.facts.log() as log:
        partition = log.partition_of(ENRICHED_TRADES.name, SYMBOLS[0])
        return int(log.end_offset(ENRICHED_TRADES.name, partition))


def _changelog(stage: Stage, topic: str, partition: int) -> dict[bytes, bytes | None]:
    """The newest committed record of each key."""
    settings = {"bootstrap.servers": stage.place.brokers, "group.id": "faults", "isolation.level": "read_committed"}
    reader = Consumer({**settings, "enable.partition.eof": True, "auto.offset.reset": "earliest"})
    try:
        low, _ = reader.get_watermark_offsets(Spot(topic, partition), timeout=10)
        reader.assign([Spot(topic, partition, low)])
        kept: dict[bytes, bytes | None] = {}
        while (message := reader.poll(15)) is not None and message.error() is None:
            kept[message.key() or b""] = message.value()
        return kept
    finally:
        reader.close()


def _put_back(stage: Stage, topic: str, partition: int, kept: dict[bytes, bytes | None]) -> None:
    _write(stage, [(topic, partition, key, value) for key, value in kept.items()])


def _lowered(meta: bytes | None) -> bytes:
    found = msgspec.json.decode(meta or b"", type=Meta)
    return msgspec.json.encode(Meta(found.next_offset - 1, found.topic_id, found.version))


def let_retention_pass(stage: Stage, chance: random.Random) -> list[Finding]:
    """Trades are deleted while the worker, who has not stored them, is away."""
    worker, name = stage.crew["worker"], ENRICHED_TRADES.name
    wanted = {TopicPartition(name, partition) for partition in range(PARTITIONS)}
    stage.until(lambda: wanted <= stage.facts.places().keys(), "some of each partition is stored")
    worker.hold()
    kill(worker, group=True)
    stage.wait(chance.uniform(5, 8))
    places, ends = stage.facts.places(), stage.facts.ends()
    # What is stored was compared as it is; what is deleted cannot be.
    stage.facts.look({place: places.get(place, 0) for place in ends})
    admin = AdminClient({"bootstrap.servers": stage.place.brokers})
    spots = [Spot(stage.place.prefix + name, p, ends[TopicPartition(name, p)]) for p in range(PARTITIONS)]
    for answer in admin.delete_records(spots).values():
        answer.result(timeout=15)
    for partition in range(PARTITIONS):
        place = TopicPartition(name, partition)
        stage.facts.forget(name, partition, places[place], ends[place])
    worker.start()
    alarm = "records were deleted before they were stored"
    try:
        stage.until(lambda: alarm in worker.log.read_text(), "the alarm", 60)
    except AssertionError as error:
        return [Finding(Kind.WRONG, "an alarm is raised", 1, str(error))]
    return []


def make_topic_anew(stage: Stage, chance: random.Random) -> list[Finding]:
    """``raw_trades`` is deleted and made again: its offsets begin anew, and nothing may be taken for read."""
    for name in ("ingest", "repair", *_PROCESSORS):
        stage.crew[name].hold()
        stage.crew[name].send(signal.SIGTERM)
        stage.crew[name].wait(10)
    topic = stage.place.prefix + RAW_TRADES.name
    admin = AdminClient({"bootstrap.servers": stage.place.brokers})
    for answer in admin.delete_topics([topic]).values():
        answer.result(timeout=15)
    stage.wait(3)
    run_once(next(plan for plan in preparations() if plan.name == "create-topics"), stage.environment)
    stage.crew["ingest"].start()
    stage.wait(5)
    findings = _refuses(stage, "the state of another life of its topic", [])
    if "made anew" not in stage.crew["process-0"].log.read_text():
        findings.append(Finding(Kind.WRONG, "an alarm is raised", 1, "the processor does not say why"))
    return findings
