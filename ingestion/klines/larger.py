"""15m, 1h and 1d candles that differ from the exchange's own: noted by the workers that compare them, and read by
``ingest_klines``, which asks for their klines again."""

from collections.abc import Collection
from collections.abc import Set as AbstractSet
from typing import Final

from django.db import close_old_connections

from ingestion.klines.track import Key
from ingestion.models import DisputedCandle
from markets.types import Interval

# The newest; older ones stay as readers are told of them.
_MOST: Final = 20_000


def note_disputed(symbol: str, interval: Interval, compared: AbstractSet[int], disputed: AbstractSet[int]) -> set[int]:
    """Keep which of the compared candles (open times) differ; those that did not when they were compared before."""
    if not compared:
        return set()
    rows = DisputedCandle.objects.filter(
        symbol=symbol, interval=interval.value, open_time__range=(min(compared), max(compared))
    )
    noted = compared & set(rows.values_list("open_time", flat=True))
    if noted - disputed:
        rows.filter(open_time__in=noted - disputed).delete()
    new = set(disputed - noted)
    DisputedCandle.objects.bulk_create(
        [DisputedCandle(symbol=symbol, interval=interval.value, open_time=open_time) for open_time in sorted(new)],
        ignore_conflicts=True,
    )
    return new


def load_disputed(symbols: Collection[str]) -> dict[Key, set[int]]:
    """The open times of the candles of these symbols that differ. Raises django.db.Error."""
    close_old_connections()
    rows = DisputedCandle.objects.filter(symbol__in=symbols).order_by("-open_time")
    found: dict[Key, set[int]] = {}
    for symbol, interval, open_time in rows.values_list("symbol", "interval", "open_time")[:_MOST]:
        found.setdefault((symbol, Interval(interval)), set()).add(open_time)
    return found
