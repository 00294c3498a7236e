"""The parts of the Kafka log that need no broker."""

import os
import subprocess
import sys

import pytest
from confluent_kafka import KafkaError, KafkaException

from ingestion.log import kafka_epochs, kafka_topics
from ingestion.log.kafka_clients import ask, explained, insist, is_passing, kafka_error
from ingestion.log.kafka_config import KafkaConfig
from ingestion.log.kafka_epochs import Life
from ingestion.log.kafka_restore import META_KEY, CorruptState, Input, MovedOn, checked, encode_meta
from ingestion.log.kafka_topics import Difference, Found
from ingestion.log.kafka_watchdog import Watchdog
from ingestion.log.port import LogError, TopicPartition
from ingestion.log.topics import CANDLES_LIVE, RAW_TRADES
from ingestion.tests.log.kills import REPOSITORY

INPUT = Input(TopicPartition("raw_trades", 3), "prefix.raw_trades", "id-1")
NEVER = -1001  # what a broker says of a group that has committed nothing


def state(next_offset, topic_id="id-1"):
    return {"BTCUSDT": b"state", META_KEY: encode_meta(next_offset, topic_id)}


# --- state and offset ---------------------------------------------------------------------------------


@pytest.mark.parametrize("committed", [7, NEVER])
def test_state_and_offset_that_fit_are_taken_also_when_the_groups_offsets_have_expired(committed):
    restored = checked(INPUT, committed, state(7))

    assert restored == (7, {"BTCUSDT": b"state"})


def test_a_first_start_begins_at_the_beginning_without_state():
    assert checked(INPUT, NEVER, {}) == (0, {})


@pytest.mark.parametrize(
    ("committed", "found", "problem"),
    [
        (8, state(7), CorruptState),  # behind: a part of the changelog is lost
        (6, state(7), MovedOn),  # ahead: somebody else has gone on
        (7, {}, CorruptState),  # the changelog is gone
        (NEVER, {"BTCUSDT": b"state"}, CorruptState),  # it does not say where it belongs
        (7, state(7, "id-2"), CorruptState),  # the input topic was made anew
        (7, {META_KEY: b"\xff"}, CorruptState),
        (7, {META_KEY: b'{"next_offset":7,"topic_id":"id-1","version":99}'}, CorruptState),
    ],
)
def test_state_that_does_not_belong_to_the_offset_is_refused(committed, found, problem):
    with pytest.raises(problem):
        checked(INPUT, committed, dict(found))


# --- topics -------------------------------------------------------------------------------------------


def test_topics_as_wanted_have_no_differences_and_each_deviation_is_named():
    raw, live, *_ = wanted = kafka_topics.specs(4, topics=[RAW_TRADES, CANDLES_LIVE])
    found = {spec.name: Found("id", spec.partitions, spec.config) for spec in wanted}
    assert kafka_topics.differences(wanted, found) == []

    found[raw.name] = Found("id", 8, {**raw.config, "retention.ms": "1000"})
    del found[live.name]

    assert kafka_topics.differences(wanted, found) == [
        Difference("raw_trades", "partitions", "4", "8"),
        Difference("raw_trades", "retention.ms", str(RAW_TRADES.retention_ms), "1000"),
        Difference("candles_live", "topic", "exists", "missing"),
    ]


def test_records_keep_the_time_of_the_broker_and_compacted_topics_are_never_cut():
    by_name = {spec.name: spec.config for spec in kafka_topics.specs(4)}

    assert all(config["message.timestamp.type"] == "LogAppendTime" for config in by_name.values())
    assert by_name["raw_trades"]["cleanup.policy"] == "delete"
    for name in ("candles_live", "processor_state", "repair_gaps_state", "log_epochs"):
        assert by_name[name]["cleanup.policy"] == "compact"
        assert "retention.ms" not in by_name[name]


def test_an_epoch_rises_with_each_life_even_when_the_clock_goes_back():
    known = {"kept": Life("a", 900_000), "anew": Life("b", 900_000)}

    new = kafka_epochs.new_lives(known, {"kept": "a", "anew": "c", "first": "d"}, now_ms=1_735_689_600_000 + 60_000)

    assert new == {"anew": Life("c", 900_001), "first": Life("d", 1)}


# --- errors and the watchdog --------------------------------------------------------------------------


def test_a_fatal_error_that_comes_as_a_system_error_is_recognised():
    fatal = KafkaException(KafkaError(KafkaError._FENCED, "fenced", fatal=True))  # noqa: SLF001
    wrapped = SystemError("returned a result with an exception set")
    wrapped.__cause__ = fatal

    found = kafka_error(wrapped)

    assert found is not None
    assert found.fatal()
    with pytest.raises(LogError, match="_FENCED"), explained("test"):
        raise wrapped
    with pytest.raises(SystemError), explained("test"):
        raise SystemError("something else")


def test_only_what_may_be_repeated_is_repeated():
    outcomes = [KafkaException(KafkaError(KafkaError._TIMED_OUT, retriable=True)), "done"]  # noqa: SLF001

    def call():
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    assert insist(call, float("inf")) == "done"
    outcomes[:] = [KafkaException(KafkaError(KafkaError.NOT_LEADER_FOR_PARTITION)), "done"]
    assert ask(call, float("inf")) == "done"
    outcomes[:] = [KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))]
    with pytest.raises(KafkaException):
        ask(call, float("inf"))
    assert not is_passing(KafkaError(KafkaError._TIMED_OUT, fatal=True))  # noqa: SLF001


def test_the_watchdog_ends_the_process_when_a_call_does_not_come_back():
    now, ended = [0.0], []
    watchdog = Watchdog("test", 60.0, end=lambda: ended.append(now[0]), clock=lambda: now[0])

    with watchdog.watching("commit"):
        now[0] = 59.0
        watchdog.check()
        watchdog.progress()
        now[0] = 118.0
        watchdog.check()
        assert not ended
        now[0] = 120.0
        watchdog.check()
    now[0] = 500.0
    watchdog.check()
    watchdog.stop()

    assert ended == [120.0]


def test_a_stuck_process_really_ends():
    program = (
        "import threading; from ingestion.log.kafka_watchdog import Watchdog\n"
        "with Watchdog('test', 0.2).watching('commit'): threading.Event().wait(30)"
    )

    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, timeout=20, check=False
    )

    assert ended.returncode == 70
    assert b"kafka_call_stuck" in ended.stdout + ended.stderr


# --- configuration and forks --------------------------------------------------------------------------


def test_secrets_do_not_show():
    config = KafkaConfig("broker:9092", security={"sasl.password": "very secret"})

    assert "very secret" not in repr(config)
    assert config.consumer("g")["sasl.password"] == "very secret"  # noqa: S105


@pytest.mark.parametrize("wrong", [{"brokers": ""}, {"brokers": "broker:9092", "slot": -1}])
def test_nonsense_is_refused(wrong):
    with pytest.raises(ValueError, match=r"KAFKA_BROKERS|STREAMLOOM_SLOT"):
        KafkaConfig(**wrong)


def test_a_log_makes_no_thread_and_no_client_until_it_is_used_and_refuses_to_work_after_a_fork():
    program = """
import os, threading
from ingestion.log.kafka import KafkaLog
from ingestion.log.kafka_config import KafkaConfig
from ingestion.log.port import LogError, Record
log = KafkaLog(KafkaConfig("127.0.0.1:9"))
assert len(os.listdir("/proc/self/task")) == 1, "a client was made"
if not (pid := os.fork()):
    try:
        log.append("raw_trades", [Record("A", b"1")])
    except LogError as error:
        os._exit(7 if "fork" in str(error) else 1)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, timeout=30, check=False
    )

    assert ended.returncode == 0, ended.stderr.decode()


def test_a_child_of_a_fork_opens_a_log_of_its_own():
    from ingestion import log as package

    before = package._opened  # noqa: SLF001
    package._opened = parents = object()  # noqa: SLF001
    read, write = os.pipe()
    try:
        pid = os.fork()
        if not pid:
            os.write(write, b"none" if package._opened is None else b"inherited")  # noqa: SLF001
            os._exit(0)
        os.waitpid(pid, 0)
        assert package._opened is parents  # noqa: SLF001
    finally:
        package._opened = before  # noqa: SLF001

    assert os.read(read, 20) == b"none"
