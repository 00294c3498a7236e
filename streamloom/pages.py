"""The pages for people: the market page ``/`` and the operator's ``/status``, with its data ``/status.json``.

The market page gets nothing from the server but its frame: all data comes through the public REST and WebSocket
interface, so whatever it shows, any program can fetch too.
"""

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import path
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from streamloom import status

# Everything from this server, nothing inline. The chart's own logo would need inline styles: the footer links instead.
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)


@require_safe
def market_page(request: HttpRequest) -> HttpResponse:
    """The chart. Its address holds the view: ``/?symbol=BTCUSDT&interval=1m[&from=…&to=…]``."""
    return _guarded(render(request, "streamloom/market.html"))


@require_safe
def status_page(request: HttpRequest) -> HttpResponse:
    """The pipeline for an operator; fetches ``/status.json`` every 2 s."""
    return _guarded(render(request, "streamloom/status.html"))


@require_safe
@never_cache
def status_json(request: HttpRequest) -> HttpResponse:
    """The answer of ``status.pipeline`` as JSON."""
    return JsonResponse(status.pipeline())


def _guarded(response: HttpResponse) -> HttpResponse:
    response["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    return response


page_urlpatterns = [
    path("", market_page, name="market"),
    path("status", status_page, name="status"),
    path("status.json", status_json, name="status-json"),
]
