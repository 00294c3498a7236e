"""Recorded months: what the exchange's own quarters of an hour add up to is its own hour, so it is certified."""

import csv
import gzip

import msgspec
import pytest

from analytics.reading.known import KnownCandle, derive, join, with_kline
from analytics.reading.view import Clock
from ingestion.pipeline.coverage import Segment, SymbolCoverage
from ingestion.pipeline.records import Candle, Kline
from ingestion.tests.pipeline.factories import recorded
from markets.types import HOUR_MS, Interval, to_scaled

BTC = "BTCUSDT"
LAST = 2_000_000_000_000


def klines(name: str, interval: Interval) -> dict[int, Kline]:
    with gzip.open(recorded(f"klines/{name}.static-klines.csv.gz"), "rt", newline="") as file:
        rows = [row for row in csv.reader(file) if row[0].isdigit()]
    return {int(row[0]): _kline(interval, row) for row in rows}


def _kline(interval: Interval, row: list[str]) -> Kline:
    open_time, *prices, volume, close_time, quote, trades, taker, taker_quote, _ = row
    amounts = [to_scaled(text) for text in (*prices, volume, quote)]
    takers = [to_scaled(taker), to_scaled(taker_quote)]
    times = int(open_time), int(close_time)
    return Kline(BTC, interval.value, *times, *amounts, int(trades), *takers, -1, -1, True, "rest", times[1])


def candle_of(kline: Kline, place: int) -> KnownCandle:
    """A candle of ours with the kline's figures: ids in the order of time, one trade for all of its fills."""
    fields = {name: getattr(kline, name) for name in Candle.__struct_fields__ if hasattr(kline, name)}
    fields |= {"first_trade_id": place, "last_trade_id": place, "agg_trades": 1}
    return KnownCandle(Candle(**fields))


@pytest.fixture(scope="module")
def hours():
    """Our hours of January 2025, merged from the recorded quarters, and the recorded hours."""
    fill, parts = 1, []
    for place, (_, quarter) in enumerate(sorted(klines("BTCUSDT-15m_2025-01", Interval.M15).items())):
        known = candle_of(quarter, place)
        fills = {"first_fill_id": fill, "last_fill_id": fill + quarter.trades - 1}
        parts.append(msgspec.structs.replace(known, candle=msgspec.structs.replace(known.candle, **fills)))
        fill += quarter.trades
    return join(parts, Interval.H1), klines("BTCUSDT-1h_2025H1", Interval.H1)


def state(hour: KnownCandle, kline: Kline) -> str:
    coverage = SymbolCoverage((Segment(1, 0, 0),))
    view = derive(with_kline(hour, kline, None), coverage, Clock(LAST, LAST))
    assert view is not None
    return view.state


def test_every_hour_of_a_month_equals_what_its_quarters_add_up_to(hours):
    ours, theirs = hours

    assert len(ours) == 31 * 24
    assert {state(hour, theirs[hour.open_time]) for hour in ours} == {"certified"}


@pytest.mark.parametrize(
    "field", ["open", "high", "low", "close", "volume", "quote_volume", "trades", "taker_buy_volume"]
)
def test_the_last_decimal_of_any_field_disputes(hours, field):
    ours, theirs = hours
    off = msgspec.structs.replace(theirs[ours[7].open_time], **{field: getattr(theirs[ours[7].open_time], field) + 1})

    assert state(ours[7], off) == "disputed"


def test_a_neighbours_kline_certifies_nothing(hours):
    ours, theirs = hours

    assert state(ours[7], theirs[ours[7].open_time + HOUR_MS]) == "disputed"
