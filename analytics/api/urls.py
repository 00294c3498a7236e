"""The addresses of the API, at the root and without a trailing slash."""

from django.http import HttpRequest, HttpResponsePermanentRedirect
from django.urls import path, re_path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from analytics.api.candles import CandlesView
from analytics.api.coverage import CoverageView
from analytics.api.indicators import IndicatorsView
from analytics.api.revisions import RevisionsView
from analytics.api.stats import SpikesView, VolatilityView, VolumeView
from analytics.api.symbols import SymbolsView
from analytics.api.trades import TradesView


class _Permanently(HttpResponsePermanentRedirect):
    """308: the method stays what it was."""

    status_code = 308


def without_slash(request: HttpRequest, place: str) -> _Permanently:
    """To the same address without the trailing slash."""
    query = request.META.get("QUERY_STRING", "")
    return _Permanently(f"/{place}?{query}" if query else f"/{place}")


_PLACES = {
    "symbols": SymbolsView,
    "candles": CandlesView,
    "candles/revisions": RevisionsView,
    "trades": TradesView,
    "coverage": CoverageView,
    "indicators": IndicatorsView,
    "stats/volume": VolumeView,
    "stats/volatility": VolatilityView,
    "stats/spikes": SpikesView,
}

urlpatterns = [
    *(path(place, view.as_view(), name=place.replace("/", "-")) for place, view in _PLACES.items()),
    path("schema", SpectacularAPIView.as_view(), name="schema"),
    path("docs", SpectacularSwaggerView.as_view(url_name="schema"), name="docs"),
    re_path(
        f"^(?P<place>{'|'.join((*_PLACES, 'schema', 'docs', 'health', 'status', 'health/live', 'metrics'))})/$",
        without_slash,
    ),
]
