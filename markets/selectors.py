"""Reads of what is traded and watched."""

from dataclasses import dataclass

from django.db.models import Q

from markets.models import Symbol
from markets.types import Asset


@dataclass(frozen=True, slots=True)
class WatchedSymbol:
    """A symbol whose trades are to be held. ``backfill_from_ms``: from when on, beyond the live ones."""

    symbol: str
    base: str
    quote: str
    backfill_from_ms: int | None


def watched() -> dict[str, WatchedSymbol]:
    """The symbols enabled for trades, by name."""
    rows = Symbol.objects.filter(trades_enabled=True)
    return {row.symbol: _watched(row) for row in rows}


def watched_for_klines() -> dict[str, bool]:
    """The symbols whose klines are to be held: those enabled for klines or for trades. True: for trades."""
    rows = Symbol.objects.filter(Q(klines_enabled=True) | Q(trades_enabled=True))
    return dict(rows.values_list("symbol", "trades_enabled"))


def _watched(row: Symbol) -> WatchedSymbol:
    start = row.backfill_from
    start_ms = None if start is None else int(start.timestamp() * 1000)
    return WatchedSymbol(row.symbol, row.base, row.quote, start_ms)


def find(symbol: str) -> Symbol | None:
    """The symbol of that name, upper or lower case; None when it is unknown."""
    return Symbol.objects.filter(symbol=symbol.upper()).first()


def assets() -> dict[str, Asset]:
    """What every known symbol trades, by its name."""
    rows = Symbol.objects.values_list("symbol", "base", "quote")
    return {symbol: Asset(base, quote) for symbol, base, quote in rows}
