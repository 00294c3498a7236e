"""What subscriptions ask, answered by the real tables and log."""

import json

import pytest

from analytics.reading.cursor import Cursor
from analytics.reading.known import of_record
from analytics.reading.tail import LogTail
from analytics.tests.samples import BTC, MINUTE, TEN, candle, closed, enriched, live, put, segment, trade
from analytics.ws.config import SocketLimits
from analytics.ws.folding import Fold
from analytics.ws.hub import Hub
from analytics.ws.messages import Channel, Topic
from analytics.ws.reads import StoredReads
from analytics.ws.replay import replay
from ingestion.log.topics import CANDLES_1M
from ingestion.pipeline.window import roll_up
from ingestion.tests.deadline import until
from markets.types import HOUR_MS, SCALE, Interval

DAY = Interval.D1.open_of(TEN)
HELD = [candle(DAY + n * MINUTE, (n * 2 + 1, n * 2 + 2), (100 + n % 9) * SCALE) for n in range(150)]


@pytest.fixture
def tail(log, clickhouse):
    tail = LogTail(log, dict, lambda _log: {})
    tail.start()
    yield tail
    tail.stop()


@pytest.fixture
async def reads(log, tail):
    put(log, segment(1, DAY), *map(closed, HELD))
    end = DAY + 150 * MINUTE
    put(log, *(enriched(trade(number, end + number)) for number in range(301, 305)))
    put(log, live(end + 10_000, end, candle=candle(end, (301, 304)), last_trade_time=end + 304))
    await until(lambda: tail.view.feed_time(BTC) == end + 10_000, "the tail has it all")
    return StoredReads(log, tail.view)


@pytest.mark.parametrize("interval", [Interval.M5, Interval.H1, Interval.D1, Interval.W1, Interval.MO1])
async def test_a_seeded_fold_goes_on_where_the_tables_end(reads, interval):
    seed = reads.seed(BTC, interval)
    fold = Fold(interval)
    fold.seed(seed.closed_to, seed.parts)
    more = candle(DAY + 150 * MINUTE, (301, 304))

    fold.take(of_record(closed(HELD[-1])))
    fold.take(of_record(closed(more)))
    told = fold.close(interval.next_open(interval.open_of(more.open_time)))

    assert told[-1].candle == roll_up([*HELD, more], interval)[-1]


async def test_a_seed_keeps_past_hours_as_one_part_each(reads):
    parts = reads.seed(BTC, Interval.D1).parts

    assert [part.candle.interval for part in parts] == ["1h"] * 2 + ["1m"] * 30
    assert parts[0].open_time == DAY


async def test_buckets_far_apart_are_read_each(reads):
    opens = [DAY, DAY + 30 * MINUTE, DAY + 2 * HOUR_MS]

    views = reads.buckets(BTC, Interval.M15, opens)

    assert [view.open_time for view in views] == opens
    assert [view.state for view in views] == ["closed"] * 3


async def test_the_newest_trades_are_there_for_the_seconds(reads):
    closed_to, trades = reads.seconds(BTC)

    assert closed_to > DAY + 150 * MINUTE
    assert [item.trade.trade_id for item in trades] == [301, 302, 303, 304]


async def test_a_page_for_a_snapshot_ends_with_the_forming_candle(reads):
    page = reads.page(BTC, Interval.M1)

    assert (len(page.candles), page.candles[-1].state) == (151, "forming")
    assert page.seq > 0


async def test_missed_seconds_are_replayed_once_from_the_cursors_place_on(reads, tail, log):
    hub = Hub(reads, tail.view, log.epoch, SocketLimits())
    topic = Topic(Channel.CANDLES, BTC, Interval.S1)
    minute = DAY + 150 * MINUTE
    end = tail.view.seq(CANDLES_1M.name, BTC)

    made = [
        message
        async for messages in replay(hub, topic, Cursor(BTC, "candles", "1s", minute, end), end)
        for message in messages
    ]

    opens = [json.loads(message.text)["candle"]["open_time"] for message in made]
    assert opens == list(range(minute, minute + 7_000, 1_000))
    assert json.loads(made[0].text)["candle"]["agg_trades"] == 4
