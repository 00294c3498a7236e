"""``/candles``."""

from typing import Any, Final

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from analytics.api import fields, paging, shapes
from analytics.api.base import ReadView, known_symbol, stale_s
from analytics.api.caching import answer
from analytics.api.problems import Problem, bad_parameter
from analytics.api.query import Query
from analytics.reading import coverage
from analytics.reading.candles import CandlePage, all_minutes, candle_json, read_candles
from analytics.reading.cursor import CANDLES, Cursor
from analytics.reading.klines import KlinePage, kline_json, read_klines
from analytics.reading.known import CERTIFIED
from analytics.reading.minutes import FOREVER, Span
from analytics.reading.tail import get_tail
from ingestion.pipeline.records import Candle
from markets.types import HOUR_MS, Interval

_SETTLED_AFTER_MS: Final = HOUR_MS


class CandlesQuery(Query):
    symbol = fields.SymbolField()
    interval = fields.IntervalField()
    to = fields.TimeField(required=False, help_text="Open times before this; default: now.")
    limit = fields.limit_field()
    cursor = fields.CursorField(required=False, help_text="Go on after an earlier answer (instead of from).")
    state = fields.ChoiceField(("closed", "all"), default="closed", help_text="all: with the forming candle.")
    fill = fields.ChoiceField(
        ("previous", "none"),
        default="previous",
        help_text="A bucket without trades is the flat candle at the previous close, or is left out.",
    )
    as_of = fields.TimeField(
        required=False, help_text="Closed candles as they were known at an earlier time of the symbol's clock."
    )
    source = fields.ChoiceField(("streamloom", "exchange"), default="streamloom", help_text="exchange: its own klines.")

    def get_fields(self) -> dict[str, serializers.Field]:
        start = fields.TimeField(required=False, help_text="Open times from this on.")
        return {**super().get_fields(), "from": start}

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "as_of" in attrs and attrs["state"] == "all":
            raise bad_parameter("as_of", "A forming candle has no history.", "state=closed")
        if "as_of" in attrs and attrs["source"] == "exchange":
            detail = "Of the exchange's own candles only the newest report is kept, and not since when it was known."
            raise bad_parameter("as_of", detail, "source=streamloom")
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
        page = _page(query, query.get("from") if before is None else before.place, _asked_time(query, before))
        as_of = _answered_time(query, page, before)
        rows, place, more = _rows(query, page, before)
        cursor = paging.after(place, page.seq, before, Cursor(symbol, CANDLES, interval, 0, 0, as_of))
        is_past = page.snapshot.as_of is not None
        block = coverage.block(
            page.snapshot, page.span, None if is_past else stale_s(symbol), _read_minutes(query, page)
        )
        body = {
            "symbol": symbol,
            "interval": interval,
            **({} if as_of is None else {"as_of": as_of}),
            "candles": rows,
            "coverage": block,
            "next": cursor if more else None,
            "cursor": cursor,
        }
        return answer(
            request,
            body,
            closed=is_past or _is_closed(query, page),
            immutable=is_past and _is_final(page),
            settled=bool(rows) and all(row["state"] == CERTIFIED for row in rows),
            headers=paging.link_to_next(request, body["next"]),
        )


def _asked_time(query: dict[str, Any], before: Cursor | None) -> int | None:
    """The time that the answer is to speak of; None: now. The first page of a walk decides it for the others."""
    asked = query.get("as_of")
    if asked is None or before is None or before.as_of is None:
        return asked
    if asked < before.as_of:
        raise Problem(
            "bad_cursor",
            "The cursor belongs to a walk as of a later time.",
            param="cursor",
            allowed=f"as_of={before.as_of}",
        )
    return before.as_of


def _answered_time(query: dict[str, Any], page: CandlePage, before: Cursor | None) -> int | None:
    """The time that the answer speaks of when one was asked for: not after now."""
    asked = _asked_time(query, before)
    now = None if page.clock is None else page.clock.feed_time
    return asked if asked is None or now is None or page.snapshot.as_of is not None else min(asked, now)


def _is_final(page: CandlePage) -> bool:
    """True when nothing more can be said of the time: a rebuild names the clock that it saw when it began."""
    now = get_tail().view.feed_time(page.snapshot.symbol)
    return page.snapshot.as_of is not None and now is not None and now - page.snapshot.as_of >= _SETTLED_AFTER_MS


def _page(query: dict[str, Any], start: int | None, as_of: int | None) -> CandlePage:
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
        as_of=as_of,
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
        end=_end_of_klines(query, page),
        limit=query["limit"],
        with_empty=query["fill"] == "previous",
    )


def _end_of_klines(query: dict[str, Any], page: CandlePage) -> int:
    """Up to now, when no end is asked for; a symbol whose trades are not watched has no clock: all that is stored."""
    if query.get("to") is None and page.clock is None:
        return FOREVER
    return max(query.get("to") or page.span.end, page.span.start)


def _is_closed(query: dict[str, Any], page: CandlePage) -> bool:
    """True for a range of the past that both its ends name: only a correction changes it."""
    start, end, clock = query.get("from"), query.get("to"), page.clock
    if start is None or end is None or clock is None:
        return False
    return Span(start, end).end <= Interval(query["interval"]).open_of(clock.closed_to)
