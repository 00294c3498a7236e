"""Real candles of one width merged into the next are the exchange's own of that width, in every field."""

import csv
import datetime as dt
import json

import pytest

from ingestion.pipeline.parse import klines_from_rest
from ingestion.pipeline.verdict import compare
from ingestion.pipeline.window import fold, roll_up
from ingestion.tests.pipeline.factories import recorded, recorded_fills
from ingestion.tests.recorded.files import as_candles, kline_file, kline_page
from markets.types import DAY_MS, HOUR_MS, Interval

QUARTERS = ("BTCUSDT-15m_2025-01.static-klines.csv.gz", "BTCUSDT", "15m")
HOURS = ("BTCUSDT-1h_2025H1.static-klines.csv.gz", "BTCUSDT", "1h")
ADA = "ADAUSDT-{}_2019-05-25_and_2019-06-01.static-klines.csv"
MONDAY, THREE_DAYS = 4 * DAY_MS, 3 * DAY_MS
MAY_25, JUNE_1 = 1_558_742_400_000, 1_559_347_200_000


def test_a_month_of_quarters_is_the_exchanges_own_hours():
    """Fact: first, last, max, min and sums of the exchange's 15m candles are its 1h candles: 744 of 744."""
    hours = {kline.open_time: kline for kline in kline_file(*HOURS)}

    merged = roll_up(as_candles(kline_file(*QUARTERS)), Interval.H1)

    assert len(merged) == 31 * 24
    assert [compare(candle, hours[candle.open_time]) for candle in merged] == [{}] * len(merged)


def test_days_are_the_same_by_way_of_hours_or_quarters():
    """Fact: rolling up in steps loses nothing, so a day may be merged from any finer width."""
    quarters = as_candles(kline_file(*QUARTERS))

    straight, in_steps = roll_up(quarters, Interval.D1), roll_up(roll_up(quarters, Interval.H1), Interval.D1)

    assert straight == in_steps
    assert len(straight) == 31


@pytest.mark.parametrize("width", ["4h", "6h", "8h", "12h", "1d"])
def test_two_hours_merged_are_the_exchanges_own_wider_candles(width):
    """Fact: candles of 4h to 1d open at multiples of their width since midnight UTC and sum up the finer ones."""
    theirs = kline_file(ADA.format(width), "ADAUSDT", width)

    ours = roll_up(as_candles(kline_file(ADA.format("2h"), "ADAUSDT", "2h")), Interval(width))

    assert [candle.open_time for candle in ours] == [kline.open_time for kline in theirs]
    assert [compare(candle, kline) for candle, kline in zip(ours, theirs, strict=True)] == [{}] * len(theirs)


@pytest.mark.parametrize("width", ["2h", "4h", "6h", "8h", "12h", "1d"])
def test_the_exchanges_hours_merged_are_its_own_wider_candles(width):
    """Fact: two publishers recorded the same candles: hours of one merge into every width of the other."""
    theirs = kline_file(ADA.format(width), "ADAUSDT", width)

    ours = roll_up(as_candles(ada_hours()), Interval(width))

    assert [compare(candle, kline) for candle, kline in zip(ours, theirs, strict=True)] == [{}] * len(theirs)


@pytest.mark.parametrize("width", ["1h", "2h", "4h", "6h", "8h", "12h", "1d"])
def test_fills_of_a_day_fold_straight_into_every_width(width):
    """Fact: the exchange's candle of any width is a function of the fills in it; the way there does not matter."""
    klines = ada_hours() if width == "1h" else kline_file(ADA.format(width), "ADAUSDT", width)
    theirs = [kline for kline in klines if kline.open_time < MAY_25 + DAY_MS]
    fills = recorded_fills("2019-05-25")

    straight, merged = fold(fills, Interval(width)), roll_up(fold(fills, Interval.M1), Interval(width))

    assert [compare(candle, kline) for candle, kline in zip(straight, theirs, strict=True)] == [{}] * len(theirs)
    assert straight == merged


@pytest.mark.parametrize("width", ["2h", "4h", "6h", "8h", "12h", "1d"])
def test_a_day_with_lost_fills_differs_in_just_the_buckets_that_lost_them(width):
    """Fact: 31 ids of three hours are missing; their count shows in n, and no other bucket of any width is touched."""
    theirs = [k for k in kline_file(ADA.format(width), "ADAUSDT", width) if k.open_time >= JUNE_1]

    ours = fold(recorded_fills("2019-06-01"), Interval(width))

    lost = {kline.open_time: kline.trades - candle.trades for candle, kline in zip(ours, theirs, strict=True)}
    touched = {Interval(width).open_of(JUNE_1 + hour * HOUR_MS) for hour in (1, 6, 8)}
    assert {open_time for open_time, count in lost.items() if count} == touched
    assert sum(lost.values()) == 31
    differing = {c.open_time for c, k in zip(ours, theirs, strict=True) if compare(c, k)}
    assert differing == touched


def ada_hours():
    """The hours of both days as the other publisher has them: open time as UTC text, the rest as REST gives it."""
    path = recorded("klines/ADAUSDT-1h_2019-05-25_and_2019-06-01.kidogb.csv")
    with path.open(newline="") as file:
        rows = [list(row.values()) for row in csv.DictReader(file)]
    typed = [[_millis(row[0]), *row[1:6], int(row[6]), row[7], int(row[8]), *row[9:]] for row in rows]
    return klines_from_rest(json.dumps(typed).encode(), "ADAUSDT", "1h")


def _millis(text):
    return int(dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC).timestamp()) * 1_000


def test_minutes_of_an_hour_are_the_exchanges_hour():
    """Fact: what REST says of 46 minutes lies inside what it says of their hour."""
    minutes = kline_page("klines_BTCUSDT_1m_2020-05-06_60.json", "BTCUSDT", "1m")
    hours = {
        kline.open_time: kline for kline in kline_page("klines_BTCUSDT_1h_2020-05-01_1000.json.gz", "BTCUSDT", "1h")
    }

    for part in roll_up(as_candles(minutes), Interval.H1):
        hour = hours[part.open_time]
        assert hour.low <= part.low <= part.high <= hour.high
        assert part.trades <= hour.trades
        assert part.quote_volume <= hour.quote_volume


def test_weeks_open_on_monday_and_three_days_one_day_after_a_multiple():
    """Fact: 1w opens on Monday 00:00 UTC, 3d where the open time leaves one day modulo three; no hour falls between."""
    hours = as_candles(kline_file(*HOURS))
    weeks, threes = roll_up(hours, Interval.W1), roll_up(hours, Interval.D3)

    assert {week.open_time % (7 * DAY_MS) for week in weeks} == {MONDAY}
    assert {three.open_time % THREE_DAYS for three in threes} == {DAY_MS}
    total = sum(hour.quote_volume for hour in hours)
    assert sum(week.quote_volume for week in weeks) == sum(three.quote_volume for three in threes) == total
    assert len(weeks) == 27


def test_months_are_the_calendars():
    """Fact: 1M is the calendar month in UTC: 31, 28, 31, 30, 31 and 30 days of hours in this half year."""
    hours = as_candles(kline_file(*HOURS))

    months = roll_up(hours, Interval.MO1)

    edges = [month.open_time for month in months] + [hours[-1].open_time + HOUR_MS]
    assert [(end - start) // DAY_MS for start, end in zip(edges, edges[1:], strict=False)] == [31, 28, 31, 30, 31, 30]
