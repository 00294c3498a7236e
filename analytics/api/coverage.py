"""``/coverage``."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from analytics.api import fields, paging, shapes
from analytics.api.base import ReadView, known_symbol, stale_s
from analytics.api.query import Query
from analytics.reading import coverage, halts
from analytics.reading.cursor import Cursor
from analytics.reading.minutes import Span
from analytics.reading.tail import get_tail
from analytics.reading.view import Snapshot, snapshot

CHANNEL = "coverage"


class CoverageQuery(Query):
    symbol = fields.SymbolField()
    to = fields.TimeField(required=False, help_text="Default: now.")
    include = fields.ChoiceField(
        ("repaired",), required=False, help_text="repaired: also the gaps that have been filled."
    )
    limit = fields.limit_field()
    cursor = fields.CursorField(required=False, help_text="Go on with the gaps after an earlier answer.")

    def get_fields(self) -> dict[str, serializers.Field]:
        start = fields.TimeField(required=False, help_text="Default: the start of the first segment.")
        return {**super().get_fields(), "from": start}


class CoverageView(ReadView):
    """Which trades are held, and which are known to be missing: segments, gaps and holes."""

    @extend_schema(
        operation_id="coverage",
        summary="Coverage",
        parameters=[CoverageQuery],
        responses=shapes.answers(shapes.COVERAGE),
    )
    def get(self, request: Request) -> Response:
        query = CoverageQuery.read(request)
        symbol = known_symbol(query["symbol"])
        before = paging.read_cursor(query, symbol, CHANNEL)
        known = snapshot(get_tail().view, symbol)
        body = _body(known, query, _span(known, query))
        repaired = coverage.all_repaired(known) if query.get("include") == "repaired" else ()
        gaps = coverage.touching(known.coverage, _span(known, query), repaired)
        left = [item for item in gaps if before is None or item[0].from_id >= before.place]
        shown = left[: query["limit"]]
        place = shown[-1][0].to_id + 1 if shown else before.place if before else 0
        cursor = paging.after(place, known.seq, before, Cursor(symbol, CHANNEL, None, 0, 0))
        body["gaps"] = [coverage.gap_json(*item) for item in shown]
        body["next"] = cursor if len(left) > len(shown) else None
        headers = {"Cache-Control": "no-cache", **paging.link_to_next(request, body["next"])}
        return Response(body, headers=headers)


def _span(known: Snapshot, query: dict[str, Any]) -> Span:
    now = 0 if known.clock is None else known.clock.feed_time
    covered = [segment.covered_from for segment in known.coverage.segments]
    end = min(query.get("to", now), now)
    start = query.get("from", min(covered, default=end))
    return Span(start, max(start, end))


def span_json(span: Span) -> dict[str, int]:
    return {"from_time": span.start, "to_time": span.end}


def _body(known: Snapshot, query: dict[str, Any], span: Span) -> dict[str, Any]:
    is_all = "from" not in query and "to" not in query
    ids = coverage.all_ids(known) if is_all else coverage.ids_in(known, span)
    totals = coverage.totals(known, span, ids)
    first, last = (None, None) if ids is None else (ids.start, ids.end - 1)
    found = halts.find(known, span, get_tail())
    return {
        "symbol": known.symbol,
        "from": span.start,
        "to": span.end,
        "first_trade_id": first,
        "last_trade_id": last,
        "first_time": None if first is None else coverage.time_of(known, first),
        "last_time": None if last is None else coverage.time_of(known, last),
        "held": totals["held"],
        "missing": totals["missing"],
        "holes": totals["holes"],
        "complete": totals["complete"],
        "segments": [
            coverage.segment_json(known, segment)
            for segment in known.coverage.segments
            if segment.covered_from < span.end and (segment.covered_to or span.end) >= span.start
        ],
        "gaps": [],
        "halts": [span_json(halt) for halt in found.halts],
        "halts_known": None if found.known is None else span_json(found.known),
        "feed_time": None if known.clock is None else known.clock.feed_time,
        "stale_s": stale_s(known.symbol),
        "next": None,
    }
