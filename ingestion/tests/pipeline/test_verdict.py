"""Our candle beside the exchange's own."""

import pytest

from ingestion.pipeline.verdict import compare, is_whole, state_of
from ingestion.pipeline.window import empty_candle, fold
from ingestion.tests.pipeline.factories import START, kline_of, make_trade
from markets.types import Interval

CANDLE = fold([make_trade(1, 0, 10), make_trade(2, 1, 12), make_trade(3, 2, 11)], Interval.M1)[0]


def test_equal_in_every_field_is_certified():
    assert state_of(CANDLE, kline_of(CANDLE, START), gap_touches=False) == "certified"


@pytest.mark.parametrize(
    "field",
    [
        "open",
        "high",
        "low",
        "close",
        "volume",
        "quote_volume",
        "trades",
        "taker_buy_volume",
        "taker_buy_quote_volume",
    ],
)
def test_a_difference_in_any_field_is_named_with_both_values(field):
    kline = kline_of(CANDLE, START, **{field: getattr(CANDLE, field) + 1})

    assert list(compare(CANDLE, kline)) == [field]
    assert state_of(CANDLE, kline, gap_touches=True) == "closed"
    if field != "trades":
        assert state_of(CANDLE, kline, gap_touches=False) == "disputed"


def test_quote_amounts_may_exceed_the_exchanges_by_the_rounding_and_never_fall_below():
    fields = {name: getattr(CANDLE, name) for name in CANDLE.__struct_fields__}
    candle = type(CANDLE)(**{**fields, "quote_rounding": 2})

    for less, equal in [(0, True), (2, True), (3, False), (-1, False)]:
        kline = kline_of(candle, START, quote_volume=candle.quote_volume - less)
        assert (compare(candle, kline) == {}) is equal


def test_a_kline_that_lacks_fills_itself_proves_nothing():
    kline = kline_of(CANDLE, START, last_fill_id=4)

    assert compare(CANDLE, kline) == {}
    assert not is_whole(CANDLE, kline)
    assert state_of(CANDLE, kline, gap_touches=False) == "closed"


def test_without_the_klines_own_ids_the_candles_fills_tell_whether_it_lacks_some():
    without_ids = {"first_fill_id": -1, "last_fill_id": -1, "source": "rest"}
    fields = {name: getattr(CANDLE, name) for name in CANDLE.__struct_fields__}
    lacks_one = type(CANDLE)(**fields | {"last_fill_id": CANDLE.last_fill_id + 1})

    assert state_of(CANDLE, kline_of(CANDLE, START, **without_ids), gap_touches=False) == "certified"
    assert state_of(lacks_one, kline_of(lacks_one, START, **without_ids), gap_touches=False) == "closed"


def test_a_row_without_fill_ids_may_lack_what_the_gap_lacks():
    early = kline_of(CANDLE, START, first_fill_id=-1, last_fill_id=-1, source="rest")

    assert state_of(CANDLE, early, gap_touches=True) == "closed"
    assert state_of(CANDLE, kline_of(CANDLE, START), gap_touches=True) == "certified"


def test_two_empty_candles_are_equal_whatever_their_flat_price():
    empty = empty_candle("BTCUSDT", Interval.M1, START, 5)

    assert compare(empty, kline_of(empty, START, open=6, close=6, high=6, low=6)) == {}


def test_a_partly_covered_minute_is_partial_unless_it_equals_the_kline():
    other = kline_of(CANDLE, START, volume=5)

    assert state_of(CANDLE, other, gap_touches=False, covered=False) == "partial"
    assert state_of(CANDLE, kline_of(CANDLE, START), False, covered=False) == "certified"
