"""The indicators, computed bar by bar as they are stored, against TA-Lib over the whole recorded history."""

import csv
import gzip
import math
from pathlib import Path

import numpy as np
import pytest
from django.conf import settings
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from analytics.indicators import catalogue
from analytics.indicators.catalogue import (
    EMA_PERIODS,
    KEPT,
    KEPT_WARM_UP,
    WILDER_PERIODS,
    Bars,
    UnknownIndicator,
    read_indicator,
    read_indicators,
)
from analytics.indicators.compute import ANCHOR, anchor_of, first_needed, last_affected, next_anchor, rows, values
from markets.types import DAY_MS, Interval

KLINES = "shared/data/binance/klines"
# Of the value, or of the close where that is larger. After 10 periods 2e-9 is left of an EMA's distance from its seed,
# which is a few per cent; of Wilder's after 18 periods 2.5e-7.
FADED = 2.5e-7
EXACT = 1e-10


def recorded(name: str) -> Bars:
    """The exchange's own candles, as REST gave them."""
    path = settings.BASE_DIR.parent / KLINES / name
    if not path.exists():
        pytest.skip(f"{KLINES}/{name} is not beside the project")
    return read(path)


def read(path: Path) -> Bars:
    with gzip.open(path, "rt") as lines:
        table = [row for row in csv.reader(lines) if row[0].isdigit()]
    figures = np.array([[float(row[place]) for place in (2, 3, 4, 5)] for row in table])
    times = np.array([int(row[0]) for row in table], np.int64)
    return Bars(times, *figures.T.copy())


QUARTERS = ("BTCUSDT-15m_2025-01.static-klines.csv.gz", Interval.M15)
HOURS = ("BTCUSDT-1h_2025H1.static-klines.csv.gz", Interval.H1)


@pytest.mark.parametrize(("name", "interval"), [QUARTERS, HOURS], ids=["15m", "1h"])
def test_bar_by_bar_equals_the_whole_history(name, interval):
    bars = recorded(name)
    whole = values(bars, interval)
    worst: dict[str, float] = {}

    for place in range(0, len(bars), 7):
        open_time = int(bars.open_time[place])
        start = int(np.searchsorted(bars.open_time, first_needed(interval, open_time)))
        (row,) = rows(bars.part(start, place + 1), interval, open_time)
        for key, column in whole.items():
            expected = column[place]
            assert math.isnan(expected) == (key not in row.values), (key, place)
            if key in row.values:
                # MACD's difference is small beside the prices that it comes from.
                scale = max(abs(expected), bars.close[place] if key.startswith("macd") else 1.0)
                worst[key] = max(worst.get(key, 0.0), abs(row.values[key] - expected) / scale)

    assert len(worst) == sum(len(indicator.names) for indicator in KEPT)
    smoothed = {"rsi_14", "atr_14", "natr_14", "adx_14"}
    assert {key: error for key, error in worst.items() if error > (FADED if key in smoothed else EXACT)} == {}


@pytest.mark.parametrize(
    "text", ["ema:200", "ema:10", "rsi:14", "rsi:50", "atr:30", "adx:20", "macd:5:35:5", "sma:200"]
)
def test_the_warm_up_of_any_period_is_enough(text):
    bars, indicator = recorded(HOURS[0]), read_indicator(text)
    warm = indicator.warm_up
    whole = values(bars, Interval.H1, [indicator])
    place = len(bars) - 1

    part = values(bars.part(place - warm, place + 1), Interval.H1, [indicator])

    for key, column in part.items():
        error = abs(column[-1] - whole[key][place]) / max(abs(whole[key][place]), 1e-4 * bars.close[place])
        assert error < FADED, key


def test_the_rules_of_the_warm_up_are_those_that_were_measured():
    assert (EMA_PERIODS, WILDER_PERIODS) == (10, 20)
    assert read_indicator("ema:200").warm_up == 2_000
    assert read_indicator("rsi:14").warm_up == 280


def test_sums_begin_with_their_month_and_say_so():
    bars = recorded(HOURS[0])
    january, february = 1_735_689_600_000, 1_738_368_000_000

    found = {row.open_time: row.values for row in rows(bars, Interval.H1, february - DAY_MS)}

    assert found[february - 3_600_000][ANCHOR] == january
    assert found[february][ANCHOR] == february
    place = int(np.searchsorted(bars.open_time, february))
    assert found[february]["obv"] == bars.volume[place]


def test_a_value_that_is_not_there_is_left_out():
    bars = recorded(QUARTERS[0]).part(0, 25)

    found = list(rows(bars, Interval.M15, 0))

    assert "sma_20" not in found[18].values
    assert "sma_20" in found[19].values
    assert "sma_50" not in found[24].values
    assert list(rows(bars.part(0, 0), Interval.M15, 0)) == []


@given(place=st.integers(0, 200), factor=st.floats(0.5, 1.5))
@hypothesis_settings(max_examples=30, deadline=None)
def test_a_bar_that_changes_matters_no_further_than_is_said(place, factor):
    """A late or corrected kline: what follows it beyond ``last_affected`` stays as it was."""
    chance = np.random.default_rng(place)
    size = KEPT_WARM_UP + 1_500
    close = 100 + np.cumsum(chance.normal(0, 0.1, size))
    times = 1_735_689_600_000 + 60_000 * np.arange(size, dtype=np.int64)
    bars = Bars(times, close + 0.2, close - 0.2, close, chance.uniform(1, 9, size))
    moved = close.copy()
    moved[place] *= factor
    changed = Bars(times, np.maximum(moved, close) + 0.2, np.minimum(moved, close) - 0.2, moved, bars.volume)
    after = int(np.searchsorted(times, last_affected(Interval.M1, int(times[place])), side="right"))

    before, now = values(bars, Interval.M1), values(changed, Interval.M1)

    for key in before:
        scale = np.maximum(np.abs(before[key][after:]), 100.0)
        assert np.all(np.abs(before[key][after:] - now[key][after:]) <= FADED * scale), key


@given(time=st.integers(1_500_000_000_000, 1_900_000_000_000), interval=st.sampled_from(list(Interval)))
def test_anchors_follow_each_other(time, interval):
    here, after = anchor_of(interval, time), next_anchor(interval, time)

    assert here <= time < after
    assert anchor_of(interval, after) == after
    assert anchor_of(interval, after - 1) == here
    assert anchor_of(interval, here) == here


@pytest.mark.parametrize(
    "text", ["", "sma:", "sma:1", "sma:501", "sma:20:5", "macd:12", "supertrend", "rsi:-3", "rsi:٣"]
)
def test_what_is_no_indicator_is_refused_with_what_is_allowed(text):
    with pytest.raises(UnknownIndicator):
        read_indicator(text)


def test_names_tell_the_periods_where_they_are_not_the_usual_ones():
    names = [
        name for one in read_indicators(["sma:5", "macd", "macd:5:35:5", "bb:20", "bb:50", "obv"]) for name in one.names
    ]

    assert names == [
        "sma_5",
        "macd",
        "macd_signal",
        "macd_hist",
        "macd_5_35_5",
        "macd_signal_5_35_5",
        "macd_hist_5_35_5",
        "bb_upper",
        "bb_middle",
        "bb_lower",
        "bb_upper_50",
        "bb_middle_50",
        "bb_lower_50",
        "obv",
    ]


def test_the_kind_of_average_is_named_without_loading_the_library():
    import talib

    assert catalogue._SMA == talib.MA_Type.SMA
