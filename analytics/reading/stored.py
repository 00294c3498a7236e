"""The candles of the tables: minutes one by one, or merged by SQL as the pipeline's merge does."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from analytics.clickhouse.client import client
from analytics.clickhouse.sql import sql
from analytics.reading.known import CERTIFIED, DISPUTED, KnownCandle, own_missing
from ingestion.pipeline.records import Candle
from markets.types import MINUTE_MS, Interval

# A Monday that is also the first of three days: the exchange's buckets of every fixed width open there.
_COMMON_OPEN = 345_600_000
_EVERY_ROW = 2**31
# Of a minute's row: where its revision is, and what stands for no verdict on that.
_REVISION = 14
_NO_VERDICT = ("", "")


class Span(NamedTuple):
    """A half-open range of open times, epoch ms."""

    start: int
    end: int

    def holds(self, time_ms: int) -> bool:
        return self.start <= time_ms < self.end


class Width(NamedTuple):
    """How a merge finds a minute's bucket: ``offset_ms`` past a multiple of ``width_ms``; 0: the month."""

    width_ms: int
    offset_ms: int


def width_of(interval: Interval) -> Width:
    width = interval.width_ms
    return Width(0, 0) if width is None else Width(width, interval.open_of(_COMMON_OPEN) % width)


def buckets(
    symbol: str,
    interval: Interval,
    span: Span,
    *,
    width: Width | None = None,
    as_of: int | None = None,
    **choices: Any,
) -> list[KnownCandle]:
    """The stored buckets of a span, in no order; with ``as_of`` as they were known at that time.

    ``choices``: ``minutes`` and ``inside`` (only these minutes, or without ``inside`` all but these),
    ``with_empty`` (else only buckets with trades, and those of ``keep``), ``limit`` counted from the start or
    (``newest``) from the end. ``width``: merge by this one instead of the interval's.
    """
    parameters = {
        "symbol": symbol,
        "start": span.start,
        "end": span.end,
        "minutes": [],
        "inside": False,
        "keep": [],
        "with_empty": True,
        "newest": False,
        "limit": _EVERY_ROW,
        **choices,
    }
    if as_of is not None:
        parameters["as_of"] = as_of
    if interval is Interval.M1 and width is None:
        return _minutes(symbol, parameters) if as_of is None else _minutes_as_of(symbol, parameters)
    parameters |= (width or width_of(interval))._asdict()
    question = "merged_candles" if as_of is None else "merged_as_of"
    rows = client().query(sql(question), parameters=parameters).result_rows
    return [_merged(symbol, interval, row) for row in rows]


def _minutes(symbol: str, parameters: dict[str, Any]) -> list[KnownCandle]:
    """Two plain questions: ClickHouse takes longer to plan their join than to answer both."""
    span = {name: parameters[name] for name in ("symbol", "start", "end")}
    if _wants_all(parameters):
        rows = client().query(sql("minute_page"), parameters=span).result_rows
    else:
        rows = client().query(sql("minute_candles"), parameters=parameters).result_rows
    if not rows:
        return []
    # The verdicts of these rows alone.
    times = [row[0] for row in rows]
    span = {"start": min(times), "end": max(times) + MINUTE_MS}
    found = client().query(sql("minute_verdicts"), parameters={"symbol": symbol, **span}).result_rows
    verdicts = {(minute, revision): verdict for minute, revision, *verdict in found}
    return [_minute(symbol, row, verdicts.get((row[0], row[_REVISION]), _NO_VERDICT)) for row in rows]


def _minutes_as_of(symbol: str, parameters: dict[str, Any]) -> list[KnownCandle]:
    rows = client().query(sql("minutes_as_of"), parameters=parameters).result_rows
    return [_minute(symbol, row[:-2], row[-2:]) for row in rows]


def _wants_all(parameters: dict[str, Any]) -> bool:
    """True when there is nothing to choose: the span has hardly more minutes than are wanted."""
    minutes = (parameters["end"] - parameters["start"]) // MINUTE_MS
    is_plain = parameters["with_empty"] and not parameters["minutes"] and not parameters["inside"]
    return is_plain and minutes <= parameters["limit"] + 1


def _minute(symbol: str, row: Sequence[Any], verdict: Sequence[str]) -> KnownCandle:
    *figures, known_at = row
    candle = Candle(symbol, Interval.M1.value, *figures)
    state, difference = verdict
    certified = state == CERTIFIED
    return KnownCandle(
        candle,
        certified=int(certified),
        disputed=(candle.open_time,) if state == DISPUTED else (),
        difference=_difference(difference),
        excused=own_missing(candle) if certified else 0,
        known_at=known_at,
    )


def _merged(symbol: str, interval: Interval, row: Sequence[Any]) -> KnownCandle:
    (bucket, first, high, low, last, flat, *sums) = row
    *figures, agg_trades, rounding, minutes, certified, disputed, excused, known_at = sums
    prices = (first, high, low, last) if agg_trades else (flat, flat, flat, flat)
    return KnownCandle(
        Candle(symbol, interval.value, bucket, *prices, *figures, agg_trades, rounding),
        minutes,
        certified,
        tuple(disputed),
        # The minutes' differences say nothing of the larger bucket.
        difference=None,
        excused=excused,
        known_at=known_at,
    )


def _difference(text: str) -> dict[str, list[str]] | None:
    return msgspec.json.decode(text) if text else None
