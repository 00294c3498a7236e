"""Every address of the server."""

from importlib.util import find_spec

from django.contrib import admin
from django.urls import include, path

from streamloom.pages import page_urlpatterns

urlpatterns = [
    path("admin/", admin.site.urls),
    *page_urlpatterns,
    *([path("", include("analytics.api.urls"))] if find_spec("analytics.api.urls") else []),
]
