"""``/candles/revisions``."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from analytics.api import fields, paging, shapes
from analytics.api.base import ReadView, known_symbol, stale_s
from analytics.api.problems import bad_parameter
from analytics.api.query import Query
from analytics.reading import coverage
from analytics.reading.cursor import Cursor
from analytics.reading.minutes import Span
from analytics.reading.revisions import read_revisions, revision_json
from analytics.reading.tail import get_tail
from analytics.reading.view import snapshot
from markets.types import MINUTE_MS, Interval

CHANNEL = "revisions"


class RevisionsQuery(Query):
    symbol = fields.SymbolField()
    interval = fields.ChoiceField(
        (Interval.M1.value,),
        default=Interval.M1.value,
        help_text="Larger candles are merged from minutes.",
    )
    open_time = fields.TimeField(help_text="Of the candle.")
    limit = fields.limit_field()
    cursor = fields.CursorField(required=False, help_text="Go on after an earlier answer.")

    def validate_open_time(self, time_ms: int) -> int:
        if time_ms % MINUTE_MS:
            raise bad_parameter("open_time", "No minute opens then.", "the full minute at which the candle opens")
        return time_ms


class RevisionsView(ReadView):
    """Every version and every verdict of one minute, in the order in which they were written."""

    @extend_schema(
        operation_id="candle_revisions",
        summary="The history of a candle",
        parameters=[RevisionsQuery],
        responses=shapes.answers(shapes.REVISIONS),
    )
    def get(self, request: Request) -> Response:
        query = RevisionsQuery.read(request)
        symbol, interval = known_symbol(query["symbol"]), query["interval"]
        before = paging.read_cursor(query, symbol, CHANNEL, interval)
        view = get_tail().view
        known = snapshot(view, symbol)
        page = read_revisions(view, symbol, query["open_time"], before.place if before else 0, query["limit"])
        cursor = paging.after(page.place, known.seq, before, Cursor(symbol, CHANNEL, interval, 0, 0))
        span = Span(query["open_time"], query["open_time"] + MINUTE_MS)
        body: dict[str, Any] = {
            "symbol": symbol,
            "interval": interval,
            "open_time": query["open_time"],
            "revisions": [revision_json(record) for record in page.records],
            "coverage": coverage.block(known, span, stale_s(symbol)),
            "next": cursor if page.more else None,
            "cursor": cursor,
        }
        return Response(body, headers={"Cache-Control": "no-cache", **paging.link_to_next(request, body["next"])})
