"""What can go wrong on a real cluster, each as small as it can be made."""

import os

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException
from confluent_kafka import TopicPartition as Place
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic, ResourceType
from django.core.management import CommandError, call_command

from ingestion.log import codec, kafka_topics
from ingestion.log.kafka_clients import Clients
from ingestion.log.kafka_restore import CorruptState
from ingestion.log.port import Aborted, LogError, Record, TopicPartition
from ingestion.log.topics import BY_NAME, DEAD_LETTERS, GROUP_PROCESS, INTERNAL, PROCESSOR_STATE
from ingestion.process.role import ProcessTrades
from ingestion.tests.log.kafka_opener import place_of
from ingestion.tests.log.kafka_place import (
    TOPICS,
    SettledKafkaLog,
    config_of,
    fresh_prefix,
    let_retention_take,
    make_topics,
    wait_until,
)
from ingestion.tests.log.kills import Child
from ingestion.tests.log.material import OUT, RAW, RAW_0, SOON_S, drain, everything, numbers, record, records

pytestmark = [pytest.mark.services, pytest.mark.timeout(120)]

STATE = PROCESSOR_STATE.name
QUIET_S = 0.3


class Cluster:
    """The topics of one test, and logs on them by slot."""

    def __init__(self, brokers):
        self.brokers, self.prefix = brokers, fresh_prefix()
        self.config = config_of(brokers, self.prefix)
        self.clients = Clients(self.config)
        self.admin = self.clients.admin()
        self._logs = []

    def make(self, partitions=1, topics=TOPICS):
        make_topics(self.config, partitions, topics)
        return self

    def log(self, slot=0, topics=TOPICS):
        log = SettledKafkaLog(config_of(self.brokers, self.prefix, slot), topics=(*topics, INTERNAL[-1]))
        self._logs.append(log)
        return log

    def reader(self, slot=0):
        log = self.log(slot)
        return log, log.reader(GROUP_PROCESS, [RAW])

    def close(self):
        for log in self._logs:
            log.close()


@pytest.fixture
def cluster(kafka):
    cluster = Cluster(kafka)
    yield cluster
    cluster.close()


def copy(log, reader, most=99):
    """One commit as ``kills.process`` does it; what was copied."""
    batch = reader.poll(most, SOON_S)
    done = {TopicPartition(r.topic, r.partition): r.offset + 1 for r in batch.records}
    state = {place.partition: {"BTCUSDT": b"%d" % offset} for place, offset in done.items()}
    log.commit(reader, [(OUT, Record(r.key, r.value)) for r in batch.records], state, done)
    return numbers(batch.records)


# --- who may commit -----------------------------------------------------------------------------------


def test_a_second_process_with_the_same_slot_fences_the_first_and_nothing_is_doubled(cluster):
    old, old_reader = cluster.make().reader()
    old.append(RAW, records(range(10)))
    assert copy(old, old_reader, 4) == [0, 1, 2, 3]
    held = old_reader.poll(99, SOON_S).records
    new, new_reader = cluster.reader()
    assert new_reader.poll(1, 0).assigned == {RAW_0: {"BTCUSDT": b"4"}}

    with pytest.raises(LogError) as refusal:
        old.commit(old_reader, [(OUT, Record(r.key, r.value)) for r in held], {}, {RAW_0: 10})

    assert not isinstance(refusal.value, Aborted)
    assert copy(new, new_reader) == [4, 5, 6, 7, 8, 9]
    assert everything(new, OUT) == list(range(10))


def test_two_slots_share_the_partitions_and_one_takes_over_when_the_other_dies(cluster):
    cluster.make(partitions=4)
    log, reader = cluster.reader(slot=0)
    keys = ["BTCUSDT", "ETHUSDT", "ADAUSDT", "BNBBTC"]  # one in each partition
    log.append(RAW, [record(n, keys[n % 4]) for n in range(40)])
    other = Child(
        "ingestion.tests.log.kafka_opener:open_to_be_killed", place_of(cluster.brokers, cluster.prefix, 1), "process"
    )
    mine, copied = set(), []
    try:
        # Until both have their half.
        while len(mine) != 2:
            batch = reader.poll(99, 0.2)
            mine = (mine - set(batch.revoked)) | set(batch.assigned)
        other.kill_after(1)
        log.append(RAW, [record(n, keys[n % 4]) for n in range(40, 80)])
        while sum(log.position(GROUP_PROCESS, RAW, p) for p in range(4)) < 80:
            try:
                copied += copy_some(log, reader)
            except Aborted:
                continue
    finally:
        other.stop()

    assert sorted(n for p in range(4) for n in everything(log, OUT, p)) == list(range(80))


def copy_some(log, reader):
    batch = reader.poll(7, 0.5)
    if not batch.records:
        return []
    done = {TopicPartition(r.topic, r.partition): r.offset + 1 for r in batch.records}
    state = {place.partition: {"BTCUSDT": b"%d" % offset} for place, offset in done.items()}
    log.commit(reader, [(OUT, Record(r.key, r.value)) for r in batch.records], state, done)
    return numbers(batch.records)


def test_an_aborted_commit_leaves_nothing_and_the_next_poll_starts_over(cluster):
    log, reader = cluster.make().reader()
    log.append(RAW, records(range(6)))
    copy(log, reader, 2)
    resource = ConfigResource(
        ResourceType.TOPIC,
        cluster.config.name(OUT),
        incremental_configs=[ConfigEntry("max.message.bytes", "500", incremental_operation=AlterConfigOpType.SET)],
    )
    next(iter(cluster.admin.incremental_alter_configs([resource]).values())).result()
    reader.poll(99, SOON_S)
    too_large = Record("BTCUSDT", os.urandom(5_000))

    with pytest.raises(Aborted):
        log.commit(reader, [(OUT, record(9)), (OUT, too_large)], {0: {"BTCUSDT": b"wrong"}}, {RAW_0: 6})

    reader.is_fresh = True
    batch = reader.poll(99, SOON_S)
    assert batch.assigned == {RAW_0: {"BTCUSDT": b"2"}}
    assert numbers(batch.records) == [2, 3, 4, 5]
    log.commit(reader, [(OUT, record(2))], {0: {"BTCUSDT": b"6"}}, {RAW_0: 6})
    assert everything(log, OUT) == [0, 1, 2]


# --- state and offsets --------------------------------------------------------------------------------


def test_a_restore_waits_for_what_a_dead_transaction_hides(cluster):
    """Up to the last stable offset alone it would bring the state of yesterday with the offset of today."""
    log, reader = cluster.make().reader()
    log.append(RAW, records(range(6)))
    copy(log, reader, 2)
    dead = cluster.clients.producer(
        {**cluster.config.producer(), "transactional.id": f"{cluster.prefix}dead", "transaction.timeout.ms": 3_000,
         "socket.timeout.ms": 3_000, "message.timeout.ms": 3_000}
    )  # fmt: skip
    dead.init_transactions(SOON_S)
    dead.begin_transaction()
    dead.produce(cluster.config.name(STATE), b"never", b"BTCUSDT", 0)
    dead.flush(SOON_S)
    hidden_from = log.end_offset(STATE, 0)
    super(SettledKafkaLog, log).commit(reader.inner, [], {0: {"BTCUSDT": b"new"}}, {RAW_0: 4})
    wait_until(lambda: log.position(GROUP_PROCESS, RAW, 0) == 4, "the offset is committed")
    assert log.end_offset(STATE, 0) == hidden_from, "nothing is hidden: this test tests nothing"

    log.rewind(reader)

    assert reader.poll(1, 0).assigned == {RAW_0: {"BTCUSDT": b"new"}}


def is_emptied(cluster, end: Place) -> bool:
    """Delete the records below ``end``; False while the broker still goes by the topic's settings of before."""
    try:
        next(iter(cluster.admin.delete_records([end]).values())).result()
    except KafkaException as error:
        if error.args[0].code() != KafkaError.POLICY_VIOLATION:
            raise
        return False
    return True


def test_a_lost_changelog_is_refused_and_not_taken_for_a_first_start(cluster):
    log, reader = cluster.make().reader()
    log.append(RAW, records(range(6)))
    copy(log, reader)
    log.close()
    log, reader = cluster.reader()
    let_retention_take(cluster.config, log, [])
    end = Place(cluster.config.name(STATE), 0, log.end_offset(STATE, 0))
    lowered = ConfigResource(
        ResourceType.TOPIC,
        cluster.config.name(STATE),
        incremental_configs=[
            ConfigEntry("cleanup.policy", "compact,delete", incremental_operation=AlterConfigOpType.SET)
        ],
    )
    next(iter(cluster.admin.incremental_alter_configs([lowered]).values())).result()
    wait_until(lambda: is_emptied(cluster, end), "the broker knows that records may be deleted")

    with pytest.raises(CorruptState, match=r"raw_trades\[0\]"):
        reader.poll(1, SOON_S)


def test_an_offset_that_does_not_fit_the_state_is_refused(cluster):
    log, reader = cluster.make().reader()
    log.append(RAW, records(range(6)))
    copy(log, reader, 4)
    group = cluster.config.name(GROUP_PROCESS)
    log.close()
    move = ConsumerGroupTopicPartitions(group, [Place(cluster.config.name(RAW), 0, 5)])

    def is_moved():
        # Refused while the closed member still counts as one.
        return not cluster.admin.alter_consumer_group_offsets([move])[group].result().topic_partitions[0].error

    wait_until(is_moved, "the group is empty", within_s=20)
    log, reader = cluster.reader()

    with pytest.raises(CorruptState, match="at 4 but 5 is committed"):
        reader.poll(1, SOON_S)


def test_what_retention_took_unread_is_told_and_reading_goes_on(cluster):
    log, reader = cluster.make().reader()
    log.append(RAW, records(range(10)))
    copy(log, reader, 4)
    log.close()
    log, reader = cluster.reader()
    let_retention_take(cluster.config, log, [RAW])
    log.append(RAW, records(range(10, 12)))

    batch = reader.poll(99, SOON_S)

    assert batch.assigned == {RAW_0: {"BTCUSDT": b"4"}}
    assert numbers(batch.records) + drain(reader.poll, QUIET_S) == [10, 11]


def test_a_topic_made_anew_has_another_id_and_a_higher_epoch_and_its_old_state_is_refused(cluster):
    log, reader = cluster.make().reader()
    log.append(RAW, records(range(6)))
    copy(log, reader)
    before = log.topic_id(RAW), log.epoch(RAW)
    log.close()
    name = cluster.config.name(RAW)
    cluster.admin.delete_topics([name])[name].result()
    wait_until(lambda: not kafka_topics.look(cluster.admin, cluster.config, [RAW]), "the topic is gone")
    cluster.admin.create_topics([NewTopic(name, 1, 1)])[name].result()
    wait_until(lambda: kafka_topics.look(cluster.admin, cluster.config, [RAW]), "the topic is there")

    with pytest.raises(LogError, match="create_topics"):
        cluster.log().epoch(RAW)
    make_topics(cluster.config)
    log, reader = cluster.reader()

    assert log.topic_id(RAW) != before[0]
    assert log.epoch(RAW) > before[1]
    with pytest.raises(CorruptState, match="made anew"):
        reader.poll(1, SOON_S)


# --- the processor on it ------------------------------------------------------------------------------


def test_poison_is_dead_lettered_in_the_transaction_that_passes_it(cluster):
    topics = tuple(BY_NAME.values()) + INTERNAL[:2]
    cluster.make(topics=topics)
    log = cluster.log(topics=topics)
    log.append(
        RAW,
        [
            Record("BTCUSDT", b"\xff poison"),
            Record("NOSUCH", b'{"kind":"unwatch","symbol":"NOSUCH","cause":"x","known_at":1}'),
        ],
    )
    role = ProcessTrades(log, dict)

    wait_until(lambda: role.step() or role.pulse().processed == 2, "both are passed")

    letters = [
        codec.dead_letter(r.value)
        for r in log.read_range(DEAD_LETTERS.name, 0, 0, log.end_offset(DEAD_LETTERS.name, 0))
    ]
    assert letters[0].frame == b"\xff poison"
    assert len(letters) == 2
    assert log.position(GROUP_PROCESS, RAW, 0) == 2
    role.drain()


# --- create_topics ------------------------------------------------------------------------------------


@pytest.fixture
def services_settings(settings, kafka):
    settings.STREAMLOOM_MODE, settings.KAFKA_BROKERS, settings.KAFKA_PREFIX = "services", kafka, fresh_prefix()
    settings.STREAMLOOM_PARTITIONS, settings.KAFKA_SECURITY = 2, {}
    return settings


def test_create_topics_makes_all_of_them_and_again_none(services_settings, capsys):
    call_command("create_topics")
    first = capsys.readouterr().out
    call_command("create_topics")
    call_command("create_topics", "--check")

    assert first == "14 topics are as they should be; 14 of them are new.\n"
    assert "0 of them are new" in capsys.readouterr().out


def test_create_topics_refuses_topics_that_differ_and_says_in_what(services_settings):
    call_command("create_topics")
    services_settings.STREAMLOOM_PARTITIONS = 3

    with pytest.raises(CommandError, match=r"raw_trades +partitions +3 +2"):
        call_command("create_topics")
    with pytest.raises(CommandError, match=r"candles_1m +partitions +3 +2"):
        call_command("create_topics", "--check")


def test_create_topics_check_makes_nothing(services_settings):
    with pytest.raises(CommandError, match=r"raw_trades +topic +exists +missing"):
        call_command("create_topics", "--check")
    with pytest.raises(CommandError, match=r"raw_trades +topic +exists +missing"):
        call_command("create_topics", "--check")
