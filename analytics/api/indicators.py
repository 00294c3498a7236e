"""``/indicators``."""

from typing import Any, Final

from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from analytics.api import fields, paging, shapes
from analytics.api.base import ReadView, known_symbol, stale_s
from analytics.api.caching import answer
from analytics.api.query import Query
from analytics.indicators import catalogue
from analytics.indicators.catalogue import KEPT, KINDS, Indicator, UnknownIndicator
from analytics.indicators.compute import ANCHOR, Row
from analytics.indicators.read import read_indicators
from analytics.reading import coverage
from analytics.reading.cursor import INDICATORS, Cursor
from analytics.reading.minutes import Span
from analytics.reading.tail import get_tail
from analytics.reading.view import snapshot
from markets.types import Interval

_INTERVALS: Final = ("1s", "1m", "15m", "1h", "1d")
_MOST: Final = 30


@extend_schema_field({"type": "string", "enum": list(_INTERVALS)})
class KlineIntervalField(fields.IntervalField):
    """An interval of which the exchange's klines are kept."""

    allowed = _INTERVALS

    def to_internal_value(self, data: str) -> Interval:
        if data not in _INTERVALS:
            raise fields.Refused(f"Klines of {data[:20]!r} are not kept.")
        return Interval(data)


@extend_schema_field({"type": "string", "example": "sma:20,rsi:14,macd:12:26:9"})
class NamesField(fields.Param):
    """Indicators with their periods."""

    allowed = "a list such as sma:20,rsi:14 of: " + ", ".join(
        ":".join((kind.name, *map(str, kind.defaults))) for kind in KINDS.values()
    )

    def to_internal_value(self, data: str) -> tuple[Indicator, ...]:
        texts = data.split(",")
        if len(texts) > _MOST:
            raise fields.Refused(f"At most {_MOST} indicators at once.")
        try:
            return catalogue.read_indicators(texts)
        except UnknownIndicator as error:
            raise fields.Refused(str(error)) from error


class IndicatorsQuery(Query):
    symbol = fields.SymbolField()
    interval = KlineIntervalField()
    names = NamesField(required=False, help_text="Default: those that are kept of every candle.")
    to = fields.TimeField(required=False, help_text="Open times before this; default: the newest.")
    limit = fields.limit_field()
    cursor = fields.CursorField(required=False, help_text="Go on after an earlier answer (instead of from).")

    def get_fields(self) -> dict[str, serializers.Field]:
        start = fields.TimeField(required=False, help_text="Open times from this on.")
        return {**super().get_fields(), "from": start}


class IndicatorsView(ReadView):
    """Indicators of the exchange's own candles by TA-Lib, oldest first."""

    @extend_schema(
        operation_id="indicators",
        summary="Indicators",
        parameters=[IndicatorsQuery],
        responses=shapes.answers(shapes.INDICATORS),
    )
    def get(self, request: Request) -> Response:
        query = IndicatorsQuery.read(request)
        symbol, interval = known_symbol(query["symbol"]), query["interval"]
        before = paging.read_cursor(query, symbol, INDICATORS, interval)
        known = snapshot(get_tail().view, symbol)
        asked = query.get("names", KEPT)
        start = query.get("from") if before is None else before.place
        page = read_indicators(symbol, interval, asked, start=start, end=query.get("to"), limit=query["limit"])
        cursor = paging.after(page.stop, known.seq, before, Cursor(symbol, INDICATORS, interval, 0, 0))
        names = [name for indicator in asked for name in indicator.names]
        if any(indicator.kind.is_anchored for indicator in asked):
            names.append(ANCHOR)
        body = {
            "symbol": symbol,
            "interval": interval,
            "warm_up": max(indicator.warm_up for indicator in asked),
            "indicators": [_row_json(row, names) for row in page.rows],
            "coverage": coverage.block(known, Span(page.start, page.stop), stale_s(symbol)),
            "next": cursor if page.more else None,
            "cursor": cursor,
        }
        return answer(request, body, closed=False, settled=False, headers=paging.link_to_next(request, body["next"]))


def _row_json(row: Row, names: list[str]) -> dict[str, Any]:
    values: dict[str, float | int | None] = {name: row.values.get(name) for name in names}
    if ANCHOR in row.values:
        values[ANCHOR] = int(row.values[ANCHOR])
    return {"open_time": row.open_time, "values": values}
