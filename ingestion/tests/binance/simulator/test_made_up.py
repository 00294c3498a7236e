"""The made-up market is a function of seed and time."""

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.binance.simulator.bars import Bar
from ingestion.binance.simulator.listings import LISTED_AT, LISTINGS
from ingestion.binance.simulator.made_up import MadeUpBook, made_up_books
from markets.types import DAY_MS, HOUR_MS, MINUTE_MS

NOON = LISTED_AT + 700 * DAY_MS + 12 * HOUR_MS
BOOKS = made_up_books(1)
symbols = st.sampled_from(sorted(BOOKS))
minutes = st.integers(0, 1_500_000)


def figures(bar: Bar) -> list[int]:
    return [getattr(bar, name) for name in sorted(Bar.__slots__)]


def folded(book: MadeUpBook, start: int, end: int) -> Bar:
    bar = Bar()
    bar.add(book.rows(book.place_at(start), book.place_at(end)), book.spec)
    return bar


@given(symbols, minutes)
@settings(max_examples=200, deadline=None)
def test_a_minutes_bar_by_sums_equals_the_fold_of_its_trades(symbol, minute):
    book = BOOKS[symbol]
    opens = LISTED_AT + minute * MINUTE_MS

    assert figures(book.minute(opens)) == figures(folded(book, opens, opens + MINUTE_MS))


@given(symbols, st.integers(0, 3 * HOUR_MS), st.integers(0, 3 * HOUR_MS))
@settings(max_examples=50, deadline=None)
def test_the_bar_of_any_span_equals_the_fold_of_its_trades(symbol, start, length):
    book = BOOKS[symbol]

    bar = book.between(NOON + start, NOON + start + length)

    assert figures(bar) == figures(folded(book, NOON + start, NOON + start + length))


@given(symbols, minutes, st.integers(1, 400))
@settings(max_examples=100, deadline=None)
def test_ids_and_fills_have_no_gap_and_times_never_fall(symbol, minute, count):
    book = BOOKS[symbol]
    start = book.place_at(LISTED_AT + minute * MINUTE_MS)

    rows = book.rows(start, start + count)

    assert [row.trade_id for row in rows] == list(range(start + 1, start + count + 1))
    assert all(row.first_id == last.last_id + 1 for last, row in zip(rows, rows[1:], strict=False))
    assert all(row.trade_time >= last.trade_time for last, row in zip(rows, rows[1:], strict=False))
    assert all(row.event_time > row.trade_time and row.price > 0 and row.qty > 0 for row in rows)


@given(symbols, st.integers(0, 1000 * DAY_MS))
@settings(max_examples=200, deadline=None)
def test_a_place_is_found_by_its_time(symbol, offset):
    book = BOOKS[symbol]
    time = LISTED_AT + offset

    place = book.place_at(time)

    assert book.rows(place, place + 1)[0].trade_time >= time
    assert place == book.first or book.rows(place - 1, place)[0].trade_time < time


@given(symbols, minutes)
@settings(max_examples=100, deadline=None)
def test_amounts_are_on_the_symbols_steps(symbol, minute):
    book = BOOKS[symbol]
    start = book.place_at(LISTED_AT + minute * MINUTE_MS)

    for row in book.rows(start, start + 5):
        assert row.price % book.spec.tick == 0
        assert row.qty % book.spec.step == 0
        assert row.qty >= (row.last_id - row.first_id + 1) * book.spec.step


def test_another_process_makes_the_same_market():
    script = (
        "from ingestion.binance.simulator.made_up import made_up_books\n"
        f"b = made_up_books(5)['ETHUSDT']; p = b.place_at({NOON}); print(b.rows(p, p + 50))"
    )

    other = subprocess.run(  # noqa: S603
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout

    book = made_up_books(5)["ETHUSDT"]
    place = book.place_at(NOON)
    assert other.strip() == str(book.rows(place, place + 50))


def test_another_seed_makes_another_market():
    one, two = (made_up_books(seed)["BTCUSDT"].rows(1000, 1100) for seed in (1, 2))

    assert [row.price for row in one] != [row.price for row in two]


def test_the_market_has_what_breaks_naive_readers():
    rates = {listing.spec.symbol: listing.rate / 60_000 for listing in LISTINGS}
    rows = BOOKS["BTCUSDT"].rows(*(BOOKS["BTCUSDT"].place_at(NOON + h * HOUR_MS) for h in (0, 1)))
    quiet = [BOOKS["DOTUSDT"].minute(NOON + m * MINUTE_MS).trades for m in range(60)]
    cheap = BOOKS["PEPEUSDT"].rows(10_000, 20_000)

    assert 3 <= rates["BTCUSDT"] + rates["ETHUSDT"] + rates["SOLUSDT"] <= 6
    sweeps = [a for a, b in zip(rows, rows[1:], strict=False) if a.trade_time == b.trade_time]
    assert len(sweeps) > 100
    assert any(row.last_id - row.first_id >= 3 for row in rows)
    assert quiet.count(0) > 5
    assert max(row.qty for row in cheap) > 10**10 * 10**8
    assert sum(row.qty % 100 != 0 for row in cheap) > 9_000
    assert not BOOKS["ETHBTC"].spec.is_exact


def test_prices_do_not_jump_from_minute_to_minute():
    book = BOOKS["BTCUSDT"]
    bars = [book.minute(NOON + m * MINUTE_MS) for m in range(600)]

    jumps = [abs(b.open - a.close) / a.close for a, b in zip(bars, bars[1:], strict=False) if a.trades and b.trades]

    assert max(jumps) < 0.002


@pytest.mark.parametrize("symbol", ["BTCUSDT", "ETHBTC"])
def test_ids_in_a_hole_are_in_no_bar(symbol):
    book = made_up_books(1)[symbol]
    place = book.place_at(NOON)
    row = book.rows(place, place + 1)[0]
    before = book.between(NOON, NOON + 10 * MINUTE_MS).volume

    book.set_holes([(row.trade_id, row.trade_id)])

    assert book.between(NOON, NOON + 10 * MINUTE_MS).volume == before - row.qty
    assert row.trade_id not in {found.trade_id for found in book.rows(place, place + 50)}


def test_hundreds_of_symbols_have_names_of_their_own_and_markets_of_their_own():
    books = made_up_books(1, 200)

    assert len(books) == 200
    assert len({book.spec.symbol for book in books.values()}) == 200
    assert books["BTCUSDT"].rows(1000, 1010) == BOOKS["BTCUSDT"].rows(1000, 1010)
    assert books["BTC2USDT"].spec.base == "BTC2"
    assert books["BTC2USDT"].rows(1000, 1010) != books["BTCUSDT"].rows(1000, 1010)


def test_a_quicker_market_has_so_many_times_as_many_trades():
    usual, quick = (made_up_books(1, 1, pace)["BTCUSDT"] for pace in (1.0, 6.0))

    counts = [book.place_at(NOON + 24 * HOUR_MS) - book.place_at(NOON) for book in (usual, quick)]

    assert counts[1] > 1_000_000
    assert counts[1] == pytest.approx(6 * counts[0], rel=0.001)


@pytest.mark.parametrize(("count", "pace"), [(0, 1.0), (1, 0.0), (1, float("nan")), (1, float("inf"))])
def test_a_market_that_is_none_is_refused(count, pace):
    with pytest.raises(ValueError, match="at least one symbol"):
        made_up_books(1, count, pace)


@given(symbols, st.integers(0, HOUR_MS), st.integers(1, 20 * MINUTE_MS), st.integers(0, 2 * HOUR_MS))
@settings(max_examples=60, deadline=None)
def test_in_a_halt_nothing_is_traded_and_no_id_is_missing(symbol, start, length, at):
    book = made_up_books(1)[symbol]
    begins, ends = NOON + start, NOON + start + length
    book.set_halts([(begins, ends)])
    rows = book.rows(book.place_at(NOON - HOUR_MS), book.place_at(NOON + 3 * HOUR_MS))

    assert [row.trade_id for row in rows] == list(range(rows[0].trade_id, rows[-1].trade_id + 1))
    assert all(row.trade_time >= last.trade_time for last, row in zip(rows, rows[1:], strict=False))
    assert not [row for row in rows if begins <= row.trade_time < ends]
    moment = NOON + at
    assert [row for row in rows if row.trade_time >= moment] == book.rows(
        book.place_at(moment), book.place_at(NOON + 3 * HOUR_MS)
    )
    minute = moment - moment % MINUTE_MS
    assert figures(book.minute(minute)) == figures(folded(book, minute, minute + MINUTE_MS))
