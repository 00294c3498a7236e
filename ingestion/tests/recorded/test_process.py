"""Recorded days and frames through the processor."""

import gzip

import pytest

from ingestion.pipeline.coverage import fold_events
from ingestion.pipeline.parse import parse_stream
from ingestion.pipeline.records import Kline, Trade, Unwatch, Want
from ingestion.pipeline.verdict import compare
from ingestion.pipeline.window import fold, roll_up
from ingestion.tests.pipeline.factories import (
    candle_fields,
    recorded,
    recorded_fills,
    recorded_hours,
)
from ingestion.tests.pipeline.run import Run
from markets.types import DAY_MS, MINUTE_MS, Interval


@pytest.mark.parametrize("day", ["2019-05-25", "2019-06-01"])
def test_a_recorded_day_closes_1440_minutes_that_roll_up_to_the_exchanges_hours(day):
    """Holds: 24 of 24 hours exact on 05-25; on 06-01 all but the three hours that lost ids touch."""
    trades = sorted(recorded_fills(day), key=lambda trade: trade.trade_id)
    midnight = Interval.D1.open_of(trades[0].trade_time)
    run = Run(
        Want("ADAUSDT", trades[0].trade_id, midnight, "start", midnight),
        *trades,
        Unwatch("ADAUSDT", midnight + DAY_MS + 5_000),
        symbol="ADAUSDT",
    )

    minutes = [record.candle for record in run.out.candles]
    hours = roll_up(minutes, Interval.H1)
    equal = [candle_fields(hour) == theirs for hour, theirs in zip(hours, recorded_hours(day), strict=True)]

    assert len(minutes) == 1440
    assert equal.count(True) == {"2019-05-25": 24, "2019-06-01": 21}[day]


def test_the_gaps_of_a_recorded_day_are_told_with_exact_ids():
    trades = sorted(recorded_fills("2019-06-01"), key=lambda trade: trade.trade_id)

    run = Run(*trades, symbol="ADAUSDT")

    gaps = fold_events(run.out.coverage).gaps
    assert [(gap.from_id, gap.to_id) for gap in gaps] == [
        (14263906, 14263907),
        (14270954, 14270976),
        (14274041, 14274046),
    ]


def test_recorded_frames_close_as_the_exchanges_own_klines_do():
    """Holds: running candles stepped from one kline frame to the next equal the frames, field by field."""
    frames = []
    with gzip.open(recorded("ws/BINANCE-ee25be.0.gz"), "rt") as lines:
        for line in lines:
            if '{"stream"' in line:
                item = parse_stream(line.split(": ", 1)[1].strip(), 0, "binance")
                if isinstance(item, Trade | Kline):
                    frames.append(item)
    compared = 0
    for symbol in ("BTCUSDT", "ETHUSDT", "DOTUSDT"):
        first = next(f for f in frames if isinstance(f, Trade) and f.symbol == symbol)
        minute = Interval.M1.open_of(first.trade_time) + MINUTE_MS
        held = [f for f in frames if isinstance(f, Trade) and f.symbol == symbol and f.trade_time >= minute]
        for kline in frames:
            if isinstance(kline, Kline) and kline.symbol == symbol and kline.open_time == minute:
                seen = [trade for trade in held if trade.last_id <= kline.last_fill_id]
                # A frame may stand inside a trade of several fills: only whole trades can be compared.
                if seen and seen[-1].last_id == kline.last_fill_id:
                    assert compare(fold(seen, Interval.M1)[0], kline) == {}
                    compared += 1
    assert compared == 51
