"""``/candles``."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from analytics.api import fields, paging, shapes
from analytics.api.base import ReadView, known_symbol, stale_s
from analytics.api.caching import answer
from analytics.api.problems import bad_parameter
from analytics.api.query import Query
from analytics.reading import coverage
from analytics.reading.candles import CandlePage, all_minutes, candle_json, read_candles
from analytics.reading.cursor import CANDLES, Cursor
from analytics.reading.klines import KlinePage, kline_json, read_klines
from analytics.reading.known import CERTIFIED
from analytics.reading.minutes import Span
from ingestion.pipeline.records import Candle
from markets.types import Interval


class CandlesQuery(Query):
    symbol = fields.SymbolField()
    interval = fields.IntervalField()
    to = fields.TimeField(required=False, help_text="Open times before this; default: now.")
    limit = fields.limit_field()
    cursor = fields.CursorField(required=False, help_text="Go on after an earlier answer (instead of from).")
    state = fields.ChoiceField(
        ("closed", "all"), default="closed", help_text="all: with the forming candle."
    )
    fill = fields.ChoiceField(
        ("previous", "none"),
        default="previous",
        help_text="A bucket without trades is the flat candle at the previous close, or is left out.",
    )
    as_of = fields.TimeField(required=False, help_text="What was known at an earlier time. Not available yet.")
    source = fields.ChoiceField(
        ("streamloom", "exchange"), default="streamloom", help_text="exchange: its own klines."
    )

    def get_fields(self) -> dict[str, serializers.Field]:
        start = fields.TimeField(required=False, help_text="Open times from this on.")
        return {**super().get_fields(), "from": start}

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "as_of" in attrs:
            if attrs["state"] == "all":
                raise bad_parameter("as_of", "A forming candle has no history.", "state=closed")
            raise bad_parameter("as_of", "as_of is not available yet; ask without it.", "nothing yet")
        return super().validate(attrs)


class CandlesView(ReadView):
    """Candles of one symbol and interval, oldest first, with what is known of their completeness."""

    @extend_schema(
        operation_id="candles",
        summary="Candles",
        parameters=[CandlesQuery],
        responses=shapes.answers(shapes.CANDLES),
    )
    def get(self, request: Request) -> Response:
        query = CandlesQuery.read(request)
        symbol, interval = known_symbol(query["symbol"]), query["interval"]
        before = paging.read_cursor(query, symbol, CANDLES, interval)
        page = _page(query, query.get("from") if before is None else before.place)
        rows, place, more = _rows(query, page, before)
        cursor = paging.after(place, page.seq, before, Cursor(symbol, CANDLES, interval, 0, 0))
        block = coverage.block(page.snapshot, page.span, stale_s(symbol), _read_minutes(query, page))
        body = {
            "symbol": symbol,
            "interval": interval,
            "candles": rows,
            "coverage": block,
            "next": cursor if more else None,
            "cursor": cursor,
        }
        return answer(
            request,
            body,
            closed=_is_closed(query, page),
            settled=bool(rows) and all(row["state"] == CERTIFIED for row in rows),
            headers=paging.link_to_next(request, body["next"]),
        )


def _page(query: dict[str, Any], start: int | None) -> CandlePage:
    is_ours = query["source"] == "streamloom"
    return read_candles(
        query["symbol"],
        query["interval"],
        start=start,
        end=query.get("to"),
        # The exchange's rows need the clock and the coverage of ours, not the candles.
        limit=query["limit"] if is_ours else 1,
        forming=query["state"] == "all",
        with_empty=query["fill"] == "previous",
    )


def _rows(query: dict[str, Any], page: CandlePage, before: Cursor | None) -> tuple[list[dict[str, Any]], int, bool]:
    """The candles to show, the place after them, and whether there are more."""
    if query["source"] == "streamloom":
        return [candle_json(view) for view in page.candles], page.place, page.more
    klines = _klines(query, page, before)
    return [kline_json(view) for view in klines.klines], klines.place, klines.more


def _read_minutes(query: dict[str, Any], page: CandlePage) -> list[Candle] | None:
    return all_minutes(page) if query["source"] == "streamloom" else None


def _klines(query: dict[str, Any], page: CandlePage, before: Cursor | None) -> KlinePage:
    start = query.get("from") if before is None else before.place
    return read_klines(
        query["symbol"],
        query["interval"],
        start=start,
        end=max(query.get("to") or page.span.end, page.span.start),
        limit=query["limit"],
        with_empty=query["fill"] == "previous",
    )


def _is_closed(query: dict[str, Any], page: CandlePage) -> bool:
    """True for a range of the past that both its ends name: only a correction changes it."""
    start, end, clock = query.get("from"), query.get("to"), page.clock
    if start is None or end is None or clock is None:
        return False
    return Span(start, end).end <= Interval(query["interval"]).open_of(clock.closed_to)
