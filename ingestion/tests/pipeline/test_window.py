"""Trades become candles exactly, in whatever order they come."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion.pipeline.window import (
    empty_candle,
    fold,
    merge,
    quote_rounding,
    roll_up,
    volatility,
    vwap,
)
from ingestion.tests.pipeline.factories import (
    START,
    candle_fields,
    make_trade,
    recorded_fills,
    recorded_hours,
)
from markets.types import DAY_MS, SCALE, Interval, to_scaled


@st.composite
def trades(draw: st.DrawFn):
    """Distinct ids whose times rise with them, amounts up to the exchange's extremes, several fills."""
    count = draw(st.integers(1, 25))
    time, fill, made = 0, 1, []
    for trade_id in range(count):
        time += draw(st.integers(0, 40_000))
        fills = draw(st.integers(1, 4))
        made.append(
            make_trade(
                trade_id,
                time,
                first_id=fill,
                last_id=fill + fills - 1,
                is_buyer_maker=draw(st.booleans()),
            )
        )
        made[-1] = _with_amounts(made[-1], draw(st.integers(1, 10**15)), draw(st.integers(1, 4 * 10**18)))
        fill += fills
    return made


def _with_amounts(trade, price, qty):
    fields = {name: getattr(trade, name) for name in trade.__struct_fields__}
    return type(trade)(**{**fields, "price": price, "qty": qty})


@given(trades(), st.randoms())
def test_folding_does_not_depend_on_the_order_of_arrival(items, random):
    shuffled = random.sample(items, len(items))

    assert fold(shuffled, Interval.M1) == fold(items, Interval.M1)


@given(trades())
def test_minutes_rolled_up_equal_the_hour_folded_from_trades(items):
    minutes = fold(items, Interval.M1)

    assert roll_up(minutes, Interval.H1) == fold(items, Interval.H1)


@given(trades())
def test_sums_equal_exact_fractions_whatever_their_size(items):
    candle = roll_up(fold(items, Interval.M1), Interval.MO1)[0]

    month = [item for item in items if Interval.MO1.open_of(item.trade_time) == candle.open_time]
    assert candle.volume == sum(item.qty for item in month)
    assert candle.quote_volume == sum(item.price * item.qty // SCALE for item in month)
    assert candle.trades == sum(item.last_id - item.first_id + 1 for item in month)


def test_open_and_close_are_the_first_and_last_id_even_when_times_are_equal():
    sweep = [make_trade(2, 10, price=12), make_trade(1, 10, price=11), make_trade(3, 10, price=13)]

    candle = fold(sweep, Interval.M1)[0]

    assert (candle.open // SCALE, candle.close // SCALE) == (11, 13)
    assert (candle.high // SCALE, candle.low // SCALE) == (13, 11)


def test_a_trade_on_the_edge_opens_the_next_bucket():
    candles = fold([make_trade(1, 59_999), make_trade(2, 60_000)], Interval.M1)

    assert [candle.open_time - START for candle in candles] == [0, 60_000]


def test_an_id_that_the_exchange_took_back_is_in_no_candle():
    taken_back = make_trade(2, 5, price=0, qty=0, first_id=-1, last_id=-1)

    candle = fold([make_trade(1), taken_back, make_trade(3, 9)], Interval.M1)[0]

    assert candle.agg_trades == 2


def test_an_empty_candle_adds_nothing_on_either_side():
    candle = fold([make_trade(1, 61_000)], Interval.M1)[0]
    empty = empty_candle("BTCUSDT", Interval.M1, candle.open_time, 5)

    assert merge(candle, empty) == merge(empty, candle) == candle


def test_empty_minutes_stay_flat_at_the_last_price_in_the_larger_candle():
    minutes = [empty_candle("BTCUSDT", Interval.M1, START + n * 60_000, 100 + n) for n in range(3)]

    hour = roll_up(minutes, Interval.D1)

    assert [(candle.open, candle.close, candle.revision) for candle in hour] == [(102, 102, 0)]


@pytest.mark.parametrize(
    ("price", "qty", "fills", "bound"),
    [
        ("42000.50", "0.01", 2, 0),  # a USDT pair: price and quantity have 8 decimals together
        ("0.005773", "0.228", 1, 0),  # one fill is cut exactly as the exchange cuts it
        ("0.005773", "1.000", 3, 2),  # the fills' own quantities have decimals that their sum hides
    ],
)
def test_the_quote_amount_carries_by_how_much_it_may_exceed_the_exchanges(price, qty, fills, bound):
    scaled = (to_scaled(price), to_scaled(qty))

    result = quote_rounding(*scaled, fills) if fills > 1 else 0

    assert result == bound


def test_volatility_is_garman_klass_of_the_four_prices():
    ticks = [make_trade(1, 0, 100), make_trade(2, 1, 110), make_trade(3, 2, 99), make_trade(4, 3, 105)]
    candle = fold(ticks, Interval.M1)[0]

    expected = math.sqrt(0.5 * math.log(110 / 99) ** 2 - (2 * math.log(2) - 1) * math.log(105 / 100) ** 2)

    assert volatility(candle) == pytest.approx(expected, rel=1e-11)
    assert volatility(empty_candle("BTCUSDT", Interval.M1, 0, 5)) == 0.0


def test_vwap_is_cut_down_and_null_without_trades():
    candle = fold([make_trade(1, 0, 10, 1), make_trade(2, 1, 11, 2)], Interval.M1)[0]

    assert vwap(candle) == to_scaled("10.66666666")
    assert vwap(empty_candle("BTCUSDT", Interval.M1, 0, 5)) is None


def test_a_recorded_day_gives_the_exchanges_own_hours_in_every_field():
    """Holds: by trade time, by id, truncated per fill (24 of 24 real hours, from an unordered file)."""
    hours = fold(recorded_fills("2019-05-25"), Interval.H1)

    assert [candle_fields(hour) for hour in hours] == recorded_hours("2019-05-25")
    assert len(hours) == 24
    assert hours[0].open_time % DAY_MS == 0


def test_the_recorded_day_with_lost_ids_differs_in_just_the_three_hours_they_touch():
    hours = fold(recorded_fills("2019-06-01"), Interval.H1)

    differing = [
        number
        for number, (hour, theirs) in enumerate(zip(hours, recorded_hours("2019-06-01"), strict=True))
        if candle_fields(hour) != theirs
    ]

    assert differing == [1, 6, 8]
