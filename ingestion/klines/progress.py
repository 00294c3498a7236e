"""How far the klines are, kept in the database: written after the klines are in the log, never before."""

from collections.abc import Mapping

from django.db import close_old_connections

from ingestion.models import KlineProgress

Places = Mapping[tuple[str, str], tuple[int, int]]


def load_progress() -> dict[tuple[str, str], tuple[int, int]]:
    """(first_open, next_open) by symbol and interval. Raises django.db.Error."""
    close_old_connections()
    rows = KlineProgress.objects.values_list("symbol", "interval", "first_open", "next_open")
    return {(symbol, interval): (first_open, next_open) for symbol, interval, first_open, next_open in rows}


def save_progress(places: Places) -> None:
    """Keep these places, in one statement. Raises django.db.Error."""
    close_old_connections()
    KlineProgress.objects.bulk_create(
        [
            KlineProgress(symbol=symbol, interval=interval, first_open=first_open, next_open=next_open)
            for (symbol, interval), (first_open, next_open) in places.items()
        ],
        batch_size=200,
        update_conflicts=True,
        unique_fields=["symbol", "interval"],
        update_fields=["first_open", "next_open"],
    )
