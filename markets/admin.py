"""The operator's view of symbols: search, filter, enable and disable in bulk."""

from urllib.parse import urlencode

from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from markets.models import Symbol

admin.site.unregister(User)
admin.site.unregister(Group)


@admin.register(User)
class StreamloomUserAdmin(UserAdmin, ModelAdmin):
    """Django's own, in the look of the rest."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm


@admin.register(Group)
class StreamloomGroupAdmin(GroupAdmin, ModelAdmin):
    """Django's own, in the look of the rest."""


@admin.register(Symbol)
class SymbolAdmin(ModelAdmin):
    """A change here reaches the running ingest within five seconds; other symbols are not touched."""

    list_display = ("symbol", "base", "quote", "status", "trades_enabled", "klines_enabled", "backfill_from")
    list_filter = ("trades_enabled", "klines_enabled", "status", "quote")
    list_filter_submit = True
    search_fields = ("symbol", "base", "quote")
    readonly_fields = ("symbol", "base", "quote", "status", "tick_size", "step_size")
    actions = ("enable_trades", "disable_trades", "enable_klines", "disable_klines", "queue_backfill")
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Symbols come from the exchange: ``manage.py sync_symbols``."""
        return False

    @admin.action(description="Watch trades")
    def enable_trades(self, request: HttpRequest, queryset: QuerySet[Symbol]) -> None:
        self._switch(request, queryset, "trades_enabled", True)

    @admin.action(description="Stop watching trades")
    def disable_trades(self, request: HttpRequest, queryset: QuerySet[Symbol]) -> None:
        self._switch(request, queryset, "trades_enabled", False)

    @admin.action(description="Fetch klines")
    def enable_klines(self, request: HttpRequest, queryset: QuerySet[Symbol]) -> None:
        self._switch(request, queryset, "klines_enabled", True)

    @admin.action(description="Stop fetching klines")
    def disable_klines(self, request: HttpRequest, queryset: QuerySet[Symbol]) -> None:
        self._switch(request, queryset, "klines_enabled", False)

    @admin.action(description="Queue a backfill")
    def queue_backfill(self, request: HttpRequest, queryset: QuerySet[Symbol]) -> HttpResponse | None:
        symbols = list(queryset.values_list("symbol", flat=True)[:2])
        if len(symbols) != 1:
            messages.error(request, "Choose one symbol: its backfill begins at a time of its own.")
            return None
        return redirect(f"{reverse('admin:ingestion_backfill_add')}?{urlencode({'symbol': symbols[0]})}")

    def _switch(self, request: HttpRequest, queryset: QuerySet[Symbol], field: str, value: bool) -> None:
        count = queryset.exclude(**{field: value}).update(**{field: value})
        what = field.removesuffix("_enabled")
        noun = "symbol" if count == 1 else "symbols"
        messages.success(request, f"{what} {'on' if value else 'off'} for {count} {noun}, effective within 5 s.")
