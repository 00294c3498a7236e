"""Minutes judged by klines that REST gave: asked again when short, restated, ahead of their trades."""

import pytest

from analytics.candles.rebuild import rebuild_dirty
from analytics.models import Dirty
from analytics.tests.candles.test_rebuild import BOOK, NEXT, empty, mark, rebuild, sink_all, trades
from analytics.tests.samples import (
    BTC,
    HOUR,
    MINUTE,
    TEN,
    candle,
    closed,
    enriched,
    kline_of,
    live,
    put,
    segment,
    span,
    trade,
)
from ingestion.log import codec
from ingestion.log.topics import RAW_TRADES
from ingestion.metrics import VERDICT_SECONDS
from ingestion.pipeline.records import CoverageKind, Lost, Proved

pytestmark = pytest.mark.django_db(transaction=True)

WHOLE = candle(TEN, (1, 3))
HOLE = span(CoverageKind.HOLE, (4, 6), (TEN + 3_000, NEXT + MINUTE))


@pytest.fixture
def store(clickhouse, log):
    """A log whose symbol is covered from id 1 at 10:00 and closed up to 11:00."""
    put(log, segment(1, TEN), live(TEN + HOUR, TEN + HOUR, last_trade_id=10_000))
    return log


def rest(made, at=0, **other):
    """The exchange's kline as REST gives it ``at`` milliseconds after the minute."""
    figures = {"source": "rest", "first_fill_id": -1, "last_fill_id": -1, "recheck": True}
    return kline_of(made, **figures | {"event_time": made.open_time + MINUTE + at} | other)


def verdicts(log):
    return [(record.state, record.reason) for record in rebuild(log)]


def said(log):
    """What the worker has said to the processor."""
    return [codec.raw(item.value) for item in log.read_range(RAW_TRADES.name, 0, 0, log.end_offset(RAW_TRADES.name, 0))]


def test_a_minute_whose_frame_was_missed_is_certified_by_rest(store):
    put(store, *trades(1, 2, 3), closed(WHOLE), rest(WHOLE))

    assert verdicts(store) == [("certified", "verdict")]


def test_a_row_that_was_given_too_early_is_asked_again_and_the_later_one_counts(store):
    short = candle(TEN, (1, 2))
    put(store, *trades(1, 2, 3), closed(WHOLE), rest(short, 10))
    assert verdicts(store) == [("disputed", "verdict")]

    put(store, rest(WHOLE, 10_000))
    assert verdicts(store) == [("certified", "verdict")]


def test_an_earlier_row_that_is_stored_late_changes_nothing(store):
    put(store, *trades(1, 2, 3), closed(WHOLE), rest(WHOLE, 10_000))
    assert verdicts(store) == [("certified", "verdict")]

    put(store, rest(candle(TEN, (1, 2)), 10), kline_of(candle(TEN, (1, 1)), recheck=True))
    assert verdicts(store) == []


def test_what_rest_says_otherwise_than_the_stream_said_is_restated(store, clickhouse):
    put(store, *trades(1, 2, 3), closed(WHOLE, state="certified", known_at=TEN + MINUTE), kline_of(WHOLE))
    put(store, rest(WHOLE, volume=7))

    assert verdicts(store) == [("disputed", "restated")]
    sink_all(store)
    # The version is the same, and known since it closed.
    known = clickhouse.query("SELECT toUnixTimestamp64Milli(known_at) FROM candles FINAL WHERE interval = '1m'")
    assert known.result_rows == [(TEN + MINUTE,)]


def test_quote_amounts_may_differ_inside_the_bound_of_the_fills_and_no_further(store):
    price, qty = 577_300, 22_800_000
    joined = [trade(1, TEN, price, qty, last_id=3), trade(2, NEXT, price, qty, first_id=4, last_id=6)]
    ours = [candle(made.trade_time, (i + 1, i + 1), price) for i, made in enumerate(joined)]
    put(store, *map(enriched, joined))
    mark(TEN, NEXT)
    first, second = (record.candle for record in rebuild(store))
    assert [first.quote_rounding, second.quote_rounding] == [2, 2]
    assert len(ours) == 2

    for made, less in ((first, 2), (second, 3)):
        amounts = {
            "quote_volume": made.quote_volume - less,
            "taker_buy_quote_volume": made.taker_buy_quote_volume - less,
        }
        put(store, rest(made, **amounts))

    assert verdicts(store) == [("certified", "verdict"), ("disputed", "verdict")]


def test_a_row_that_counts_more_than_the_newest_trade_held_waits_for_the_others(clickhouse, log):
    put(log, segment(1, TEN), live(NEXT + 5_000, NEXT, last_trade_id=2), *trades(1, 2), closed(candle(TEN, (1, 2))))
    put(log, rest(WHOLE))
    assert verdicts(log) == []
    assert Dirty.objects.get(interval="1m").open_time == TEN

    put(log, *trades(3, late=True), live(NEXT + 6_000, NEXT, last_trade_id=3))
    assert verdicts(log) == [("certified", "late")]


def test_a_row_that_counts_more_than_there_is_is_disputed_once_the_next_trade_shows_it(clickhouse, log):
    put(log, segment(0, TEN), live(NEXT + 5_000, NEXT, last_trade_id=2), *trades(1, 2), closed(candle(TEN, (1, 2))))
    put(log, rest(WHOLE))
    assert verdicts(log) == []

    put(log, enriched(trade(3, NEXT + 6_000)), live(NEXT + 6_000, NEXT, last_trade_id=3))
    assert verdicts(log) == [("disputed", "verdict")]


def test_a_row_that_lacks_fills_as_we_do_proves_nothing(store):
    """A recording that lost ids: the exchange that replays it lacks them in its candles too."""
    lacking = candle(TEN, (1, 3), trades=2, agg_trades=2, volume=2 * 10**8, quote_volume=200 * 10**8)
    hole = span(CoverageKind.HOLE, (2, 2), (TEN + 1_000, TEN + 3_000))
    amounts = {"taker_buy_volume": 2 * 10**8, "taker_buy_quote_volume": 200 * 10**8}
    put(store, hole, *trades(1, 3), rest(lacking, **amounts))

    [record] = rebuild(store)

    assert (record.state, record.missing) == ("closed", 1)


# --- holes ----------------------------------------------------------------------------------------------


def around_a_hole(store, first_fill=4):
    """Ids 4 to 6 cannot be had; the exchange counts no trade between 10:00:03 and 10:02:00."""
    after = trade(7, NEXT + MINUTE, first_id=first_fill, last_id=first_fill)
    made = candle(NEXT + MINUTE, (7, 7), first_fill_id=first_fill, last_fill_id=first_fill)
    put(store, *trades(1, 2, 3), enriched(after), closed(WHOLE), closed(made), HOLE)
    put(store, rest(WHOLE), rest(empty(NEXT)))
    return made


def test_a_hole_is_proved_when_every_minute_it_touches_is_certified(store):
    last = around_a_hole(store)
    rebuild(store)
    assert said(store) == []

    put(store, rest(last))
    rebuild(store)

    assert said(store) == [Proved(BTC, 4, 6, TEN + HOUR)]


def test_fills_that_jump_over_a_hole_were_trades(store):
    put(store, rest(around_a_hole(store, first_fill=9)))
    states = [record.state for record in rebuild(store)]

    assert states == ["certified"] * 3
    assert said(store) == []


def test_a_verdict_by_the_processor_proves_a_hole_too(store):
    """Its kline asks for a look at the minute, because ids are missing around it."""
    last = around_a_hole(store)
    put(store, closed(last, state="certified", reason="verdict"), kline_of(last, recheck=True))

    rebuild(store)

    assert said(store) == [Proved(BTC, 4, 6, TEN + HOUR)]


def test_a_proof_waits_while_the_processor_is_behind(store):
    put(store, rest(around_a_hole(store)))
    sink_all(store)
    store.append(RAW_TRADES.name, [codec.to_record(trade(i, TEN)) for i in range(1_500)])
    rebuild_dirty(store, BOOK)

    assert Dirty.objects.filter(interval="1m").count() == 3
    assert not any(isinstance(record, Proved) for record in said(store))


# --- trades that are gone ---------------------------------------------------------------------------------


def give_up_waiting(store):
    """What the tries of a minute would have taken."""
    rebuild(store)
    Dirty.objects.update(tries=6)


def test_stored_trades_that_are_gone_are_fetched_again(store, clickhouse):
    put(store, *trades(1, 2, 3, 4, 5), closed(candle(TEN, (1, 5))))
    sink_all(store)
    clickhouse.command("ALTER TABLE trades_enriched DELETE WHERE trade_id IN (3, 4) SETTINGS mutations_sync = 1")
    mark(TEN)

    give_up_waiting(store)
    assert (rebuild(store), said(store)) == ([], [Lost(BTC, 3, 4, TEN + 2_000, TEN + 5_000, TEN + HOUR)])

    rebuild(store)
    assert len(said(store)) == 1


def test_a_whole_minute_that_is_gone_is_fetched_again(store, clickhouse):
    put(store, *trades(1, 2, 3), closed(WHOLE))
    sink_all(store)
    clickhouse.command("TRUNCATE TABLE trades_enriched")
    mark(TEN)

    give_up_waiting(store)

    assert rebuild(store) == []
    assert said(store) == [Lost(BTC, 1, 3, TEN, TEN + MINUTE - 1, TEN + HOUR)]


def test_ids_of_a_known_gap_are_not_fetched_twice(store):
    gap = span(CoverageKind.GAP_OPENED, (2, 2), (TEN + 1_000, TEN + 3_000))
    put(store, gap, *trades(1, 3), closed(candle(TEN, (1, 1))))
    mark(TEN)

    give_up_waiting(store)
    rebuild(store)

    assert said(store) == []


# --- how long a verdict takes -----------------------------------------------------------------------------


def count(source):
    return next(s.value for s in VERDICT_SECONDS.labels(source)._child_samples() if s.name == "_count")


@pytest.mark.parametrize(("origin", "label"), [("rest", "rest"), ("archive", "archive"), ("binance", "stream")])
def test_each_verdict_tells_how_long_it_took(store, origin, label):
    before = count(label)
    put(store, *trades(1, 2, 3), closed(WHOLE), kline_of(WHOLE, source=origin, recheck=True))
    rebuild(store)

    assert count(label) == before + 1
