"""The operator's view of backfills: ask for one, watch it, cancel it, begin it anew."""

import datetime as dt
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.decorators import display

from ingestion.backfill import store
from ingestion.models import ArchiveUse, Backfill
from markets.selectors import find

_STATES = {
    Backfill.State.QUEUED: "info",
    Backfill.State.RUNNING: "info",
    Backfill.State.DONE: "success",
    Backfill.State.FAILED: "danger",
    Backfill.State.CANCELLED: "warning",
}
_DONE = (
    "state", "progress_bar", "note", "error", "trades_sent", "klines_sent", "bad_rows", "absent_count", "bad_files",
    "rows_a_second", "time_left", "created_at", "started_at", "finished_at",
)  # fmt: skip


class BackfillForm(forms.ModelForm):
    """Says at once what the worker would refuse later."""

    class Meta:
        model = Backfill
        fields = ("symbol", "from_time", "to_time", "trades", "klines", "seconds")
        help_texts = {
            "from_time": "UTC. The archive's days are UTC days.",
            "to_time": "UTC. Empty: up to what is held. Trades between this and what is held are brought, too.",
            "seconds": "86,400 rows a day: only if you need them.",
        }

    def clean_symbol(self) -> str:
        name = str(self.cleaned_data["symbol"]).strip().upper()
        if find(name) is None:
            raise forms.ValidationError(f"The exchange has no symbol {name} (manage.py sync_symbols reads its list).")
        return name

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if self.errors:
            return cleaned
        if cleaned.get("seconds"):
            cleaned["klines"] = True
        try:
            store.check(Backfill(**{name: cleaned.get(name) for name in self.Meta.fields}))
        except store.NotAllowed as problem:
            raise forms.ValidationError(f"{str(problem)[0].upper()}{str(problem)[1:]}.") from problem
        symbol = find(cleaned["symbol"])
        if cleaned.get("trades") and symbol is not None and not symbol.trades_enabled:
            raise forms.ValidationError(
                f"{symbol.symbol} is not watched, and trades are kept of watched symbols only. "
                "Watch its trades first (Symbols), or ask for its klines only."
            )
        return cleaned


@admin.register(Backfill)
class BackfillAdmin(ModelAdmin):
    """History of a symbol from the exchange's public archive; the workers do it, one after the other."""

    form = BackfillForm
    list_display = ("symbol", "from_time", "to_time", "state_label", "progress_bar", "rows", "time_left", "what")
    list_filter = ("state",)
    search_fields = ("symbol",)
    ordering = ("-created_at",)
    actions = ("cancel", "retry")
    list_per_page = 50

    def get_fields(self, request: HttpRequest, obj: Backfill | None = None) -> tuple[str, ...]:
        asked = BackfillForm.Meta.fields
        return asked if obj is None else (*asked, *_DONE)

    def get_readonly_fields(self, request: HttpRequest, obj: Backfill | None = None) -> tuple[str, ...]:
        """What was asked for stays: cancel it and ask for another one."""
        return () if obj is None else (*BackfillForm.Meta.fields, *_DONE)

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        midnight = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
        return {
            "from_time": midnight - dt.timedelta(days=7),
            "trades": True,
            "klines": True,
            "symbol": request.GET.get("symbol", ""),
        }

    def has_change_permission(self, request: HttpRequest, obj: Backfill | None = None) -> bool:
        """A row is looked at, and changed by the actions of the list only."""
        return super().has_change_permission(request, obj) and obj is None

    def has_delete_permission(self, request: HttpRequest, obj: Backfill | None = None) -> bool:
        """Only those that are over: a worker must not lose the row it works on."""
        return super().has_delete_permission(request, obj) and (obj is None or obj.is_over)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Django's bulk deletion asks nobody about the single row."""
        actions: dict[str, Any] = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    @display(description="state", label={str(state.value): look for state, look in _STATES.items()}, ordering="state")
    def state_label(self, row: Backfill) -> str:
        return row.state

    @display(description="progress")
    def progress_bar(self, row: Backfill) -> SafeString:
        percent = round(100 * row.progress, 1)
        return format_html(
            '<div style="min-width:9rem" title="{} of {} files">'
            '<progress max="100" value="{}" style="width:100%;height:.6rem" aria-label="progress"></progress>'
            "<small>{} %</small></div>",
            row.done_steps, row.total_steps, percent, percent,
        )  # fmt: skip

    @display(description="rows")
    def rows(self, row: Backfill) -> str:
        return f"{row.trades_sent + row.klines_sent:,}"

    @display(description="rows a second")
    def rows_a_second(self, row: Backfill) -> str:
        return f"{row.rate:,.0f}"

    @display(description="time left")
    def time_left(self, row: Backfill) -> str:
        return "" if row.eta_s is None else str(dt.timedelta(seconds=round(row.eta_s)))

    @display(description="what it does")
    def what(self, row: Backfill) -> str:
        return row.error[:160] or row.note

    @admin.action(description="Cancel")
    def cancel(self, request: HttpRequest, queryset: QuerySet[Backfill]) -> None:
        count = store.cancel(list(queryset.values_list("pk", flat=True)))
        messages.success(request, f"Cancelled: {count}. What was wanted stays wanted: it is asked for by REST.")

    @admin.action(description="Begin anew (brings only what is missing)")
    def retry(self, request: HttpRequest, queryset: QuerySet[Backfill]) -> None:
        count = store.retry(list(queryset.values_list("pk", flat=True)))
        messages.success(request, f"Queued again: {count}.")


@admin.register(ArchiveUse)
class ArchiveUseAdmin(ModelAdmin):
    """The archive's files that were used, with their checksums."""

    list_display = ("name", "rows", "used_at", "sha256", "replaced")
    search_fields = ("name", "sha256")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: ArchiveUse | None = None) -> bool:
        return False
