"""Every address of the server."""

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import include, path
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from streamloom import health
from streamloom.pages import page_urlpatterns


def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus metrics of this process."""
    return HttpResponse(generate_latest(), content_type=CONTENT_TYPE_LATEST)


urlpatterns = [
    path("admin/", admin.site.urls),
    path("health", health.health),
    path("health/live", health.live),
    path("metrics", metrics),
    *page_urlpatterns,
    path("", include("analytics.api.urls")),
]

# Errors outside the views are problems too.
handler400 = "analytics.api.problems.bad_request"
handler403 = "analytics.api.problems.permission_denied"
handler404 = "analytics.api.problems.not_found"
handler500 = "analytics.api.problems.server_error"
