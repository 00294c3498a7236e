"""``/symbols``."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from analytics.api import shapes
from analytics.api.base import ReadView
from analytics.api.fields import TruthField
from analytics.api.query import Query
from analytics.reading import symbols
from analytics.reading.tail import get_tail


class SymbolsQuery(Query):
    enabled = TruthField(required=False, help_text="Only those whose trades are watched, or only the others.")


class SymbolsView(ReadView):
    """The symbols that the exchange lists, and what is known of each."""

    @extend_schema(
        operation_id="symbols",
        summary="Symbols",
        parameters=[SymbolsQuery],
        responses=shapes.answers(shapes.SYMBOLS),
    )
    def get(self, request: Request) -> Response:
        query = SymbolsQuery.read(request)
        found = symbols.listed(get_tail().view, enabled=query.get("enabled"))
        return Response({"symbols": found}, headers={"Cache-Control": "no-cache"})
