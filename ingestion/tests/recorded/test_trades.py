"""Ids, times and order of real trades, and what any order of them gives."""

import gzip
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.pipeline.digest import digest
from ingestion.pipeline.parse import trades_from_rest
from ingestion.pipeline.records import CoverageKind, Trade, Want
from ingestion.pipeline.window import fold, roll_up
from ingestion.tests.pipeline.factories import recorded, recorded_fills
from ingestion.tests.pipeline.run import Run
from ingestion.tests.recorded.files import frames, xrpeth
from markets.types import MINUTE_MS, Interval


def test_ids_and_fills_of_two_and_a_half_days_have_no_gap():
    """Fact: aggregate ids rise by one, and each trade's first fill is the one after the last: 14,672 fills."""
    trades = xrpeth()

    assert [trade.trade_id for trade in trades] == list(range(trades[0].trade_id, trades[0].trade_id + 12_477))
    assert all(one.last_id + 1 == two.first_id for one, two in zip(trades, trades[1:], strict=False))
    assert trades[-1].last_id - trades[0].first_id + 1 == 14_672


def test_ids_of_recorded_streams_have_no_gap_either():
    """Fact: the same holds on the stream, symbol by symbol, whatever is interleaved: 1,910 trades."""
    trades = [item for item in frames("BINANCE-ee25be.0.gz") if isinstance(item, Trade)]
    by_symbol = [[trade for trade in trades if trade.symbol == symbol] for symbol in ("BTCUSDT", "ETHUSDT", "DOTUSDT")]

    for stream in by_symbol:
        assert all(two.trade_id == one.trade_id + 1 for one, two in zip(stream, stream[1:], strict=False))
        assert all(two.first_id == one.last_id + 1 for one, two in zip(stream, stream[1:], strict=False))
    assert [len(stream) for stream in by_symbol] == [1227, 506, 177]


def test_ids_and_times_rise_together():
    """Fact: trade times never fall as ids rise (sweeps share a millisecond), so an id bounds a minute."""
    for trades in (xrpeth(), sorted(recorded_fills("2019-05-25"), key=lambda trade: trade.trade_id)):
        assert all(one.trade_time <= two.trade_time for one, two in zip(trades, trades[1:], strict=False))
        assert any(one.trade_time == two.trade_time for one, two in zip(trades, trades[1:], strict=False))


def test_a_page_by_id_is_inclusive_and_whole():
    """Fact: fromId is the first row, and a page of 1,000 has the next 999 ids."""
    body = gzip.decompress(recorded("rest/aggTrades_BTCUSDT_fromId-202790190_limit-1000.json.gz").read_bytes())

    ids = [trade.trade_id for trade in trades_from_rest(body, "BTCUSDT", 0)]

    assert (ids[0], ids[-1], len(ids)) == (202_790_190, 202_791_189, 1_000)


def test_many_minutes_of_a_quiet_pair_are_empty():
    """Fact: 1,091 of the 3,560 minutes from the first to the last trade have none; a candle exists for each."""
    minutes = {Interval.M1.open_of(trade.trade_time) for trade in xrpeth()}
    span = (max(minutes) - min(minutes)) // MINUTE_MS + 1

    records = [record.candle for record in closed_candles(xrpeth())]

    assert (span, span - len(minutes)) == (3_560, 1_091)
    assert sum(not candle.agg_trades for candle in records) == 1_091
    assert [candle.open_time for candle in records] == list(range(min(minutes), max(minutes) + 1, MINUTE_MS))


def test_a_busier_pair_has_empty_minutes_as_well():
    """Fact: 76 of 1,440 minutes of a day of 21,781 fills have none, and 19 of one of 42,389: they are no gap."""
    days = [fold(recorded_fills(day), Interval.M1) for day in ("2019-05-25", "2019-06-01")]

    assert [1_440 - len(minutes) for minutes in days] == [76, 19]
    assert [sum(minute.trades for minute in minutes) for minutes in days] == [21_781, 42_389]


def test_a_file_is_not_in_the_order_of_ids():
    """Fact: recorded files come in the order of a database dump; folding them so gives the same candles."""
    rows = recorded_fills("2019-05-25")
    ids = [trade.trade_id for trade in rows]

    in_order = sorted(rows, key=lambda trade: trade.trade_id)

    assert ids != sorted(ids)
    assert digest(fold(rows, Interval.M1)) == digest(fold(in_order, Interval.M1))
    # By arrival instead of by id, most minutes would open or close at another price.
    naive = {}
    for trade in rows:
        naive[Interval.M1.open_of(trade.trade_time)] = trade.price
    closes = {candle.open_time: candle.close for candle in fold(in_order, Interval.M1)}
    assert sum(naive[minute] != closes[minute] for minute in closes) > 100


def closed_candles(trades):
    """What the processor publishes of these trades when all of them are wanted, and their minutes are over."""
    first, last = trades[0], trades[-1]
    minute = Interval.M1.open_of(first.trade_time)
    end = Interval.M1.next_open(last.trade_time) + 4_000
    after = Trade(
        "XRPETH", last.trade_id + 1, 1, 1, last.last_id + 1, last.last_id + 1, end, False, "binance", end, end
    )
    run = Run(Want("XRPETH", first.trade_id, minute, "start", minute), symbol="XRPETH")
    found = []
    for place in range(0, len(trades), 500):
        run.take(*trades[place : place + 500])
        found += run.out.candles
        run.commit()
    found += run.take(after).out.candles
    return [record for record in found if record.candle.open_time <= Interval.M1.open_of(last.trade_time)]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32))
def test_however_real_trades_come_what_is_held_in_the_end_folds_to_the_same_candles(seed):
    """Doubles, swaps, losses and their repair change the way, never the result: no id is missing, none is twice."""
    chance = random.Random(seed)
    trades = xrpeth()[:1_500]
    lost = set(chance.sample(range(1, len(trades) - 1), 60))
    arriving = [trade for place, trade in enumerate(trades) if place not in lost]
    doubled = [trade for trade in arriving for _ in range(1 + (chance.random() < 0.05))]
    swapped = sorted(enumerate(doubled), key=lambda item: item[0] + chance.choice((0, 0, 0, 3)))
    repaired = [trades[place] for place in chance.sample(sorted(lost), len(lost))]
    minute = Interval.M1.open_of(trades[0].trade_time)
    run = Run(Want("XRPETH", trades[0].trade_id, minute, "start", minute), symbol="XRPETH")

    run.take(*(trade for _, trade in swapped))
    run.restart()
    run.take(*repaired)

    held = [enriched.trade for _, enriched in run.out.enriched]
    assert sorted(trade.trade_id for trade in held) == [trade.trade_id for trade in trades]
    assert digest(fold(held, Interval.M1)) == digest(fold(trades, Interval.M1))
    assert roll_up(fold(held, Interval.M1), Interval.H1) == fold(trades, Interval.H1)
    opened = [event for event in run.out.coverage if event.kind == CoverageKind.GAP_OPENED]
    closed = [event for event in run.out.coverage if event.kind == CoverageKind.GAP_CLOSED]
    assert sum(event.to_id - event.from_id + 1 for event in closed) >= len(lost) - 1
    assert opened
