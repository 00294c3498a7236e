"""What the audits found, for an operator to look through."""

from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from analytics.models import AuditRun


@admin.register(AuditRun)
class AuditRunAdmin(ModelAdmin):
    """Whole days of each symbol, newest first. Nothing here can be changed: ``manage.py audit --repair`` repairs."""

    list_display = (
        "symbol",
        "day",
        "state",
        "trades",
        "candles",
        "certified",
        "disputed",
        "missing",
        "holes",
        "differences",
        "finished_at",
    )
    list_filter = ("state", "day")
    search_fields = ("symbol",)
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: AuditRun | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: AuditRun | None = None) -> bool:
        return False
