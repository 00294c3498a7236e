"""A quiet market, an outage of the exchange and missing data are three different answers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.reading import halts
from analytics.reading.minutes import Span
from analytics.reading.view import snapshot
from analytics.tests.samples import BTC, MINUTE, TEN, candle, closed, kline_of, live, segment, span
from ingestion.models import KlineProgress
from ingestion.pipeline.coverage import Span as Missing
from ingestion.pipeline.coverage import SymbolCoverage
from ingestion.pipeline.records import CoverageKind
from ingestion.pipeline.window import empty_candle
from markets.types import SCALE, Interval

pytestmark = pytest.mark.django_db

LENGTH = 20
PRICE = 100 * SCALE


def minute(number):
    return TEN + number * MINUTE


def flat(number):
    return empty_candle(BTC, Interval.M1, minute(number), PRICE)


def known_to(number, first=0):
    KlineProgress.objects.update_or_create(
        symbol=BTC, interval="1m", defaults={"first_open": minute(first), "next_open": minute(number)}
    )


@pytest.fixture
def market(stage):
    """Twenty minutes: traded but for 3 and 4 (quiet), 8 to 10 (the exchange stood still), 14 (ids are missing)."""
    quiet, halted, missing = {3, 4}, {8, 9, 10}, {14}
    for number in range(LENGTH):
        made = flat(number) if number in quiet | halted else candle(minute(number), (10 * number, 10 * number + 4))
        if number not in missing:
            stage.tell(closed(made))
        if number not in halted:
            stage.tell(kline_of(made))
    stage.tell(
        segment(0, TEN),
        span(CoverageKind.GAP_OPENED, (140, 149), (minute(14) - 1, minute(15))),
        live(minute(LENGTH) + 5_000, minute(LENGTH), last_trade_id=194, last_trade_time=minute(LENGTH) - 1),
    )
    return stage


def test_the_three_are_told_apart(get, market):
    market.sink()
    known_to(LENGTH)

    body = get("/coverage", symbol=BTC).json()

    assert body["halts"] == [{"from_time": minute(8), "to_time": minute(11)}]
    assert body["halts_known"] == {"from_time": TEN, "to_time": minute(LENGTH)}
    assert [(gap["from_id"], gap["to_id"], gap["state"]) for gap in body["gaps"]] == [(140, 149, "open")]
    assert (body["missing"], body["complete"]) == (10, False)

    rows = get("/candles", symbol=BTC, interval="1m", from_=TEN, to=minute(LENGTH)).json()["candles"]
    by_minute = {(row["open_time"] - TEN) // MINUTE: row for row in rows}
    quiet, halted = by_minute[3], by_minute[9]
    assert (quiet["volume"], quiet["missing"]) == (halted["volume"], halted["missing"]) == ("0.00000000", 0)
    assert 14 not in by_minute
    exchange = get("/candles", symbol=BTC, interval="1m", source="exchange", from_=TEN, to=minute(LENGTH)).json()
    assert {(row["open_time"] - TEN) // MINUTE for row in exchange["candles"]} == set(range(LENGTH)) - {8, 9, 10}


def test_a_range_has_its_own_halts(get, market):
    market.sink()
    known_to(LENGTH)

    assert get("/coverage", symbol=BTC, from_=minute(9), to=minute(10)).json()["halts"] == [
        {"from_time": minute(9), "to_time": minute(10)}
    ]
    assert get("/coverage", symbol=BTC, from_=minute(11)).json()["halts"] == []


@pytest.mark.parametrize(("first", "after"), [(0, 0), (0, 8), (11, LENGTH), (0, None)])
def test_no_halt_is_told_of_minutes_whose_klines_were_not_fetched(get, market, first, after):
    market.sink()
    if after is not None:
        known_to(after, first)

    body = get("/coverage", symbol=BTC).json()

    assert body["halts"] == []
    expected = {"from_time": minute(first), "to_time": minute(after)} if after else None
    assert body["halts_known"] == expected


def test_a_kline_that_is_on_its_way_to_the_table_is_no_halt(market):
    market.sink()
    known_to(LENGTH)
    market.tell(kline_of(flat(9)))

    found = halts.find(snapshot(market.view, BTC), Span(TEN, minute(LENGTH)), market.tail)

    assert found.halts == [Span(minute(8), minute(9)), Span(minute(10), minute(11))]


def test_with_too_many_klines_on_their_way_nothing_is_said(market, monkeypatch):
    market.sink()
    known_to(LENGTH)
    market.tell(kline_of(flat(9)), kline_of(flat(10)))
    monkeypatch.setattr(halts, "_MOST_UNSUNK", 1)

    found = halts.find(snapshot(market.view, BTC), Span(TEN, minute(LENGTH)), market.tail)

    assert found == halts.Halts(None, ())


SPANS = st.lists(st.tuples(st.integers(0, 30), st.integers(1, 5)), max_size=6)


@given(runs=SPANS, coming=st.sets(st.integers(0, 35)), gaps=st.lists(st.integers(0, 70), max_size=4, unique=True))
def test_what_is_left_of_runs_are_exactly_the_minutes_that_nothing_speaks_against(runs, coming, gaps):
    minutes = {number for start, length in runs for number in range(start, start + length)}
    starts = sorted(number for number in minutes if number - 1 not in minutes)
    ends = sorted(number + 1 for number in minutes if number + 1 not in minutes)
    given_runs = [Span(minute(start), minute(end)) for start, end in zip(starts, ends, strict=True)]
    # Each gap lies between two moments in half minutes.
    half = MINUTE // 2
    spans = tuple(
        Missing(place, place, TEN + place * half, TEN + (place + 1) * half - 1, 0, "stream") for place in sorted(gaps)
    )

    left = halts._sure(given_runs, {minute(number) for number in coming}, SymbolCoverage(gaps=spans))

    expected = minutes - coming - {place // 2 for place in gaps}
    told = [(run.start - TEN) // MINUTE for run in left]
    assert {n for run in left for n in range((run.start - TEN) // MINUTE, (run.end - TEN) // MINUTE)} == expected
    assert told == sorted(told)
