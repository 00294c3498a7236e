"""The processor's loop over the real embedded log: one commit, nothing lost, nothing doubled."""

import threading

import pytest

from ingestion.log import codec, topics
from ingestion.log.port import LogError, Record, TopicPartition
from ingestion.log.sqlite import SqliteLog
from ingestion.pipeline.process import UnreadableState
from ingestion.pipeline.records import Want
from ingestion.process.role import ProcessTrades
from ingestion.tests.pipeline.factories import START, make_trade
from markets.types import Asset

ASSETS = {"BTCUSDT": Asset("BTC", "USDT"), "ETHUSDT": Asset("ETH", "USDT")}
RAW = topics.RAW_TRADES.name


@pytest.fixture
def log(tmp_path):
    opened = SqliteLog(tmp_path / "log.db")
    yield opened
    opened.close()


def make_role(log, **options):
    return ProcessTrades(log, lambda: ASSETS, **options)


def put(log, *items):
    log.append(RAW, [codec.to_record(item) for item in items])


def read(log, topic, decode):
    end = log.end_offset(topic.name, 0)
    return [decode(stored.value) for stored in log.read_range(topic.name, 0, log.start_offset(topic.name, 0), end)]


def trades_of(log):
    return [record.trade.trade_id for record in read(log, topics.ENRICHED_TRADES, codec.enriched)]


WANT = Want("BTCUSDT", 1, START, "start", START)


def test_one_step_publishes_everything_that_follows_from_what_it_read(log):
    put(log, WANT, make_trade(1, 10), make_trade(2, 20), make_trade(2, 20), make_trade(3, 60_500))

    make_role(log).step()

    assert trades_of(log) == [1, 2, 3]
    assert [r.candle.revision for r in read(log, topics.CANDLES_1M, codec.candle)] == [2]
    assert [e.kind for e in read(log, topics.COVERAGE, codec.coverage)] == ["segment_opened"]
    assert read(log, topics.CANDLES_LIVE, codec.live)[-1].last_trade_id == 3
    assert log.position(topics.GROUP_PROCESS, RAW, 0) == 5


def test_another_instance_goes_on_where_the_last_commit_left_off(log):
    first = make_role(log)
    put(log, WANT, make_trade(1, 10))
    first.step()
    first.drain()

    put(log, make_trade(1, 10), make_trade(4, 20))
    make_role(log).step()

    assert trades_of(log) == [1, 4]
    gaps = [e for e in read(log, topics.COVERAGE, codec.coverage) if e.kind == "gap_opened"]
    assert [(gap.from_id, gap.to_id) for gap in gaps] == [(2, 3)]


class CommitFails:
    """A log whose next commit raises, as a full disk would make it."""

    def __init__(self, log):
        self._log = log
        self.is_failing = True

    def __getattr__(self, name):
        return getattr(self._log, name)

    def commit(self, *parts):
        if self.is_failing:
            raise LogError("disk full")
        self._log.commit(*parts)


def test_a_failed_commit_leaves_nothing_behind_and_a_new_start_repeats_it(log):
    put(log, WANT, make_trade(1, 10), make_trade(2, 20))
    failing = make_role(CommitFails(log))

    with pytest.raises(LogError, match="disk full"):
        failing.step()
    failing.drain()
    make_role(log).step()

    assert trades_of(log) == [1, 2]


def test_what_cannot_be_read_and_whom_nobody_knows_is_buried_and_the_stream_goes_on(log):
    log.append(RAW, [Record("BTCUSDT", b"\xff broken")])
    put(log, make_trade(9, 5, symbol="NOBODY"), WANT, make_trade(1, 10))

    make_role(log).step()

    letters = read(log, topics.DEAD_LETTERS, codec.dead_letter)
    assert [(letter.reason, letter.origin) for letter in letters] == [
        ("unreadable_record", "raw_trades/0/0"),
        ("unknown_symbol", "raw_trades/0/1"),
    ]
    assert letters[0].frame == b"\xff broken"
    assert trades_of(log) == [1]


def test_a_symbol_that_was_listed_a_moment_ago_loses_no_record(log):
    known = {"BTCUSDT": ASSETS["BTCUSDT"]}
    role = ProcessTrades(log, lambda: known)
    put(log, WANT, make_trade(1, 10))
    role.step()

    known["ETHUSDT"] = ASSETS["ETHUSDT"]
    put(log, make_trade(7, 10, symbol="ETHUSDT"))
    role.step()

    assert trades_of(log) == [1, 7]


def test_symbols_do_not_disturb_each_other(log):
    put(log, WANT, make_trade(1, 10), make_trade(7, 10, symbol="ETHUSDT"), make_trade(2, 61_000))

    make_role(log).step()

    closed = read(log, topics.CANDLES_1M, codec.candle)
    assert [(r.candle.symbol, r.candle.revision) for r in closed] == [("BTCUSDT", 1)]


def test_state_of_another_version_is_refused(log):
    reader = log.reader(topics.GROUP_PROCESS, [RAW])
    reader.poll(1, 0)
    log.commit(reader, [], {0: {"BTCUSDT": b"\x81\xa7version\x63"}}, {TopicPartition(RAW, 0): 0})
    reader.close()
    put(log, WANT)

    with pytest.raises(UnreadableState):
        make_role(log).step()


def test_it_stops_reading_while_the_sink_is_far_behind(log):
    put(log, WANT, *(make_trade(n, n) for n in range(1, 8)))
    role = make_role(log, sink_lag_most=5)
    role.step()
    put(log, make_trade(8, 8))

    role.step()
    assert len(trades_of(log)) == 7

    log.report(topics.GROUP_SINK, {TopicPartition(topics.ENRICHED_TRADES.name, 0): 7})
    role.step()
    assert len(trades_of(log)) == 8


def test_run_ends_when_it_is_told_to_and_gives_its_place_back(log):
    stop = threading.Event()
    role = make_role(log)
    put(log, WANT, make_trade(1, 10))
    thread = threading.Thread(target=role.run, args=(stop,))
    thread.start()
    tail = log.tail({TopicPartition(topics.ENRICHED_TRADES.name, 0): 0})
    assert len(tail.poll(10, 10.0)) == 1

    stop.set()
    thread.join(10)

    assert not thread.is_alive()
    log.reader(topics.GROUP_PROCESS, [RAW]).close()


def test_the_pulse_tells_how_much_waits(log):
    role = make_role(log)
    put(log, WANT, make_trade(1, 10))
    assert role.pulse().lag == 2

    role.step()

    assert (role.pulse().lag, role.pulse().processed) == (0, 2)
