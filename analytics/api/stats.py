"""``/stats/volume``, ``/stats/volatility`` and ``/stats/spikes``."""

from decimal import Decimal
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from analytics.api import fields, shapes
from analytics.api.base import ReadView, known_symbol, stale_s
from analytics.api.problems import Problem
from analytics.api.query import Query
from analytics.reading import coverage, statistics
from analytics.reading.minutes import Span
from analytics.reading.statistics import Spike
from analytics.reading.tail import get_tail
from analytics.reading.view import Snapshot, snapshot
from ingestion.pipeline.window import vwap
from markets.types import DAY_MS, Interval, to_text

_NO_CACHE = {"Cache-Control": "no-cache"}


class WindowQuery(Query):
    symbol = fields.SymbolField()
    window = fields.WindowField(help_text="A number and a unit of m, h, d, w (1m to 31d).")
    to = fields.TimeField(required=False, help_text="Default: the end of the last closed minute.")


class SpikesQuery(Query):
    symbol = fields.SymbolField()
    threshold = fields.ThresholdField(default=Decimal("0.03"), help_text="Smallest |close / previous close - 1|.")
    interval = fields.IntervalField(default=Interval.M1)
    window = fields.WindowField(default=("24h", DAY_MS))
    to = fields.TimeField(required=False, help_text="Default: now.")


class VolumeView(ReadView):
    """What was traded in a rolling window of closed minutes."""

    @extend_schema(
        operation_id="stats_volume",
        summary="Volume of a window",
        parameters=[WindowQuery],
        responses=shapes.answers(shapes.VOLUME),
    )
    def get(self, request: Request) -> Response:
        query = WindowQuery.read(request)
        known, span = _window(query)
        total = statistics.volume(known, span)
        candle = None if total is None else total.candle
        average = None if candle is None else vwap(candle)
        body = _head(query, span) | {
            "volume": to_text(candle.volume if candle else 0),
            "quote_volume": to_text(candle.quote_volume if candle else 0),
            "trades": candle.trades if candle else 0,
            "taker_buy_volume": to_text(candle.taker_buy_volume if candle else 0),
            "taker_buy_quote_volume": to_text(candle.taker_buy_quote_volume if candle else 0),
            "vwap": None if average is None else to_text(average),
        }
        return Response(_with_coverage(body, known, span), headers=_NO_CACHE)


class VolatilityView(ReadView):
    """Realized volatility of a rolling window: the root of the sum of squared log returns of 1m closes."""

    @extend_schema(
        operation_id="stats_volatility",
        summary="Volatility of a window",
        parameters=[WindowQuery],
        responses=shapes.answers(shapes.VOLATILITY),
    )
    def get(self, request: Request) -> Response:
        query = WindowQuery.read(request)
        known, span = _window(query)
        value = statistics.volatility(known, span)
        body = _head(query, span) | {
            "volatility": value,
            "annualized_volatility": statistics.annualized(value, query["window"][1]),
        }
        return Response(_with_coverage(body, known, span), headers=_NO_CACHE)


class SpikesView(ReadView):
    """Candles whose close jumped from the one before, newest first."""

    @extend_schema(
        operation_id="stats_spikes",
        summary="Jumps of the price",
        parameters=[SpikesQuery],
        responses=shapes.answers(shapes.SPIKES),
    )
    def get(self, request: Request) -> Response:
        query = SpikesQuery.read(request)
        symbol, interval = known_symbol(query["symbol"]), query["interval"]
        text, width_ms = query["window"]
        if not statistics.windows_fit(interval, width_ms):
            raise Problem(
                "range_too_large",
                f"The window has more than {statistics.MOST_BUCKETS} candles: ask for shorter ones, moving `to`.",
                param="window",
                allowed=f"at most {statistics.MOST_BUCKETS} candles",
            )
        found = statistics.spikes(symbol, interval, query["threshold"], width_ms=width_ms, to=query.get("to"))
        body = {
            "symbol": symbol,
            "interval": interval,
            "window": text,
            "threshold": float(query["threshold"]),
            "from": found.span.start,
            "to": found.span.end,
            "spikes": [_spike_json(spike) for spike in found.spikes],
        }
        return Response(_with_coverage(body, found.snapshot, found.span), headers=_NO_CACHE)


def _window(query: dict[str, Any]) -> tuple[Snapshot, Span]:
    known = snapshot(get_tail().view, known_symbol(query["symbol"]))
    return known, statistics.window(known, query["window"][1], query.get("to"))


def _head(query: dict[str, Any], span: Span) -> dict[str, Any]:
    return {"symbol": query["symbol"], "window": query["window"][0], "from": span.start, "to": span.end}


def _with_coverage(body: dict[str, Any], known: Snapshot, span: Span) -> dict[str, Any]:
    return {**body, "coverage": coverage.block(known, span, stale_s(known.symbol))}


def _spike_json(spike: Spike) -> dict[str, Any]:
    candle = spike.view.candle
    return {
        "open_time": candle.open_time,
        "close_time": spike.view.close_time,
        "previous_close": to_text(spike.previous_close),
        "close": to_text(candle.close),
        "change": spike.change,
        "direction": "up" if spike.change > 0 else "down",
        "volume": to_text(candle.volume),
        "state": spike.view.state,
    }

