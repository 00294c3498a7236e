"""Real trades, some of them lost and fetched later: what was known before the repair, and what is known since."""

import random

import pytest

from analytics.candles.rebuild import rebuild_dirty
from analytics.candles.store import CoverageBook
from analytics.reading import coverage
from analytics.reading.candles import read_candles
from analytics.reading.revisions import read_revisions
from analytics.sink.load import load
from analytics.sink.tables import ROUTES
from ingestion.log import codec
from ingestion.log.topics import GROUP_PROCESS, RAW_TRADES
from ingestion.pipeline.digest import digest
from ingestion.pipeline.records import Trade, Want
from ingestion.pipeline.window import fold
from ingestion.process.role import ProcessTrades
from ingestion.tests.recorded.files import xrpeth
from markets.types import HOUR_MS, Asset, Interval

pytestmark = pytest.mark.django_db(transaction=True)

XRP = "XRPETH"
COUNT = 900


def process(log, records):
    log.append(RAW_TRADES.name, [codec.to_record(record) for record in records])
    role = ProcessTrades(log, lambda: {XRP: Asset("XRP", "ETH")})
    while log.position(GROUP_PROCESS, RAW_TRADES.name, 0) < log.end_offset(RAW_TRADES.name, 0):
        role.step()
    role.drain()


def settle(stage):
    """Sink and rebuild until nothing is left to do."""
    book = CoverageBook()
    for _ in range(20):
        moved = [load(stage.log, topic, 0, max_rows=20_000, chance=random.Random(1)) for topic in ROUTES]
        if not any([*moved, rebuild_dirty(stage.log, book)]):
            stage.tail.catch_up()
            return
    raise AssertionError("it does not come to rest")


def after(last, time):
    """The next trade: by its time the minutes before it have closed."""
    fill = last.last_id + 1
    return Trade(XRP, last.trade_id + 1, 1, 1, fill, fill, time, False, "binance", time, time)


@pytest.fixture
def repaired(stage):
    """Real hours of which forty trades were lost and came an hour after the last one; and those trades."""
    trades = xrpeth()[:COUNT]
    lost = {trades[place].trade_id for place in random.Random(7).sample(range(5, COUNT - 5), 40)}
    minute = Interval.M1.open_of(trades[0].trade_time)
    later = Interval.M1.next_open(trades[-1].trade_time) + HOUR_MS
    held = [trade for trade in trades if trade.trade_id not in lost]
    closing = after(trades[-1], later - HOUR_MS + 4_000)
    wanted = Want(XRP, trades[0].trade_id, minute, "start", minute)
    process(stage.log, [wanted, *held, closing, after(closing, later)])
    process(stage.log, [trade for trade in trades if trade.trade_id in lost])
    settle(stage)
    return stage, trades, held, later


def digest_of(page, trades):
    """Of the minutes with trades among those that these trades happened in."""
    minutes = {Interval.M1.open_of(trade.trade_time) for trade in trades}
    return digest(view.candle for view in page.candles if view.open_time in minutes and view.candle.agg_trades)


def test_what_was_known_before_the_repair_is_the_fold_of_what_was_held_then(repaired):
    """Holds for real trades: each version that was ever published is a function of the trades that were held."""
    stage, trades, held, later = repaired
    start = Interval.M1.open_of(trades[0].trade_time)
    asked = {"start": start, "end": later - HOUR_MS, "limit": 5_000, "view": stage.view}

    before, since = (read_candles(XRP, Interval.M1, as_of=at, **asked) for at in (later - 1, later))

    assert digest_of(before, trades) == digest(fold(held, Interval.M1))
    assert digest_of(since, trades) == digest(fold(trades, Interval.M1))
    blocks = [coverage.block(page.snapshot, page.span, None) for page in (before, since)]
    assert [(block["complete"], block["missing"], block["held"]) for block in blocks] == [
        (False, 40, COUNT - 40),
        (True, 0, COUNT),
    ]
    hours = [read_candles(XRP, Interval.H1, as_of=at, **asked).candles for at in (later - 1, later)]
    assert sum(view.candle.agg_trades for view in hours[0]) < sum(view.candle.agg_trades for view in hours[1])


def test_a_corrected_real_minute_has_both_versions_in_its_history(repaired):
    stage, trades, held, later = repaired
    short = {item.open_time: item for item in fold(held, Interval.M1)}
    whole = {item.open_time: item for item in fold(trades, Interval.M1)}
    corrected = next(at for at in sorted(short) if short[at] != whole[at])

    records = read_revisions(stage.view, XRP, corrected, 0, 100).records

    assert [(record.reason, record.candle) for record in records] == [
        ("closed", short[corrected]),
        ("late", whole[corrected]),
    ]
    assert records[0].known_at < corrected + HOUR_MS <= later <= records[1].known_at
