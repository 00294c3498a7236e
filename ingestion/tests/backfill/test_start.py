"""The first id, or why there is none."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion.backfill.start import first_day, first_id_by_rest, first_trades_in
from ingestion.backfill.tools import Refused
from ingestion.binance.archive_files import date_of
from ingestion.binance.archive_lines import Line
from ingestion.pipeline.records import Trade
from markets.types import DAY_MS

DAY = 20_000 * DAY_MS


def lines(*rows):
    return [Line(f"{trade_id},1.0,1.0,{trade_id},{trade_id},{time},True,True".encode(), 0) for trade_id, time in rows]


def trade(trade_id, time):
    return Trade("BTCUSDT", trade_id, 1, 1, 1, 1, time, True, "rest", 0)


class Rest:
    """Holds these trades, as far back as they go."""

    def __init__(self, *trades):
        self.trades = trades

    def agg_trades(self, symbol, *, from_id=None, start_time=None, end_time=None, limit=1000):
        if end_time is not None:
            return [item for item in self.trades if item.trade_time <= end_time][-limit:]
        return [item for item in self.trades if item.trade_time >= start_time][:limit]


class Archive:
    """Has the days ``first..last``."""

    def __init__(self, first=None, last=None):
        self.first, self.last, self.asked = first, last, 0

    def has(self, file):
        self.asked += 1
        if self.first is None or file.is_monthly:
            return False
        return date_of(self.first) <= file.date <= date_of(self.last)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([(7, DAY - 5), (8, DAY), (9, DAY + 5)], (7, 8)),
        ([(8, DAY), (9, DAY + 5)], (None, 8)),
        ([(6, DAY - 9), (7, DAY - 5)], (7, None)),
        ([], (None, None)),
    ],
)
def test_the_trades_on_both_sides_of_the_beginning(rows, expected):
    found = first_trades_in(lines(*rows), "BTCUSDT", DAY)

    assert tuple(None if trade is None else trade.trade_id for trade in found) == expected


def test_rows_that_cannot_be_used_do_not_count():
    before, first = first_trades_in([Line(b"rubbish", 7), *lines((0, DAY - 1), (8, DAY))], "BTCUSDT", DAY)

    assert (before.trade_id, first.trade_id) == (0, 8)


def test_rest_may_reach_back_far_enough():
    assert first_id_by_rest(Rest(trade(5, DAY - 1), trade(6, DAY)), Archive(), "BTCUSDT", DAY, DAY + DAY_MS) == 5


def test_the_first_trade_of_all_needs_none_before_it():
    assert first_id_by_rest(Rest(trade(0, DAY + 1)), Archive(), "BTCUSDT", DAY, DAY + DAY_MS) == 0


def test_before_the_archive_the_first_day_is_named():
    first = DAY + 77 * DAY_MS

    with pytest.raises(Refused, match=str(date_of(first))):
        first_id_by_rest(Rest(trade(99, first)), Archive(first, DAY * 2), "BTCUSDT", DAY, DAY + 100 * DAY_MS)


def test_without_any_archive_rests_first_day_is_named():
    with pytest.raises(Refused, match=f"REST has them only from {date_of(DAY + DAY_MS)}"):
        first_id_by_rest(Rest(trade(99, DAY + DAY_MS)), Archive(), "BTCUSDT", DAY, DAY + 5 * DAY_MS)
    with pytest.raises(Refused, match="Neither"):
        first_id_by_rest(Rest(), Archive(), "BTCUSDT", DAY, DAY + 5 * DAY_MS)


@given(first=st.integers(1, 3_000), days=st.integers(5, 3_000), late=st.integers(0, 2))
def test_the_first_day_is_found_with_few_questions(first, days, late):
    """Yesterday's file may still be missing."""
    now = DAY + (first + days) * DAY_MS
    archive = Archive(DAY + first * DAY_MS, now - (1 + late) * DAY_MS)

    found = first_day(archive, "BTCUSDT", DAY, now)

    assert found == date_of(DAY) + dt.timedelta(days=first)
    assert archive.asked <= 2 * 15
