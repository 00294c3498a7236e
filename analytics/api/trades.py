"""``/trades``."""

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from analytics.api import fields, paging, shapes
from analytics.api.base import ReadView, known_symbol, stale_s
from analytics.api.caching import answer
from analytics.api.query import Query
from analytics.reading import coverage
from analytics.reading.cursor import TRADES, Cursor
from analytics.reading.trades import read_trades, trade_json


class TradesQuery(Query):
    symbol = fields.SymbolField()
    to = fields.TimeField(required=False, help_text="Trade times before this; default: now.")
    from_id = fields.id_field("Trade ids from this on.")
    limit = fields.limit_field()
    cursor = fields.CursorField(required=False, help_text="Go on after an earlier answer (instead of from).")

    def get_fields(self) -> dict[str, serializers.Field]:
        start = fields.TimeField(required=False, help_text="Trade times from this on.")
        return {**super().get_fields(), "from": start}


class TradesView(ReadView):
    """The aggregate trades of one symbol, oldest first."""

    @extend_schema(
        operation_id="trades",
        summary="Trades",
        parameters=[TradesQuery],
        responses=shapes.answers(shapes.TRADES),
    )
    def get(self, request: Request) -> Response:
        query = TradesQuery.read(request)
        symbol = known_symbol(query["symbol"])
        before = paging.read_cursor(query, symbol, TRADES)
        start, end = query.get("from"), query.get("to")
        page = read_trades(
            symbol,
            start=start,
            end=end,
            from_id=query.get("from_id") if before is None else before.place,
            limit=query["limit"],
        )
        cursor = paging.after(page.place, page.seq, before, Cursor(symbol, TRADES, None, 0, 0))
        block = coverage.block(page.snapshot, page.span, stale_s(symbol))
        body = {
            "symbol": symbol,
            "trades": [trade_json(item) for item in page.trades],
            "coverage": block,
            "next": cursor if page.more else None,
            "cursor": cursor,
        }
        closed_to = 0 if page.clock is None else page.clock.closed_to
        return answer(
            request,
            body,
            closed=start is not None and end is not None and end <= closed_to,
            settled=block["complete"],
            headers=paging.link_to_next(request, body["next"]),
        )
