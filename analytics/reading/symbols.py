"""The symbols that the exchange has, with what is known of each."""

from collections.abc import Iterable
from typing import Any

from analytics.reading.view import LiveView
from ingestion.pipeline.coverage import SymbolCoverage
from markets.models import Symbol
from markets.types import to_text


def listed(view: LiveView, *, enabled: bool | None = None) -> list[dict[str, Any]]:
    """Each symbol as API.md section 3 shows it, by name; ``enabled``: only those watched (or not)."""
    rows: Iterable[Symbol] = Symbol.objects.order_by("symbol")
    if enabled is not None:
        rows = rows.filter(trades_enabled=enabled)
    return [_symbol_json(row, view) for row in rows]


def _symbol_json(row: Symbol, view: LiveView) -> dict[str, Any]:
    live = view.live(row.symbol)
    price = None if live is None or live.last_price is None else to_text(live.last_price)
    return {
        "symbol": row.symbol,
        "base": row.base,
        "quote": row.quote,
        "status": row.status,
        "enabled": row.trades_enabled,
        "tick_size": f"{row.tick_size:.8f}",
        "step_size": f"{row.step_size:.8f}",
        "last_price": price,
        "last_trade_time": None if live is None else live.last_trade_time,
        "complete": _is_complete(view.coverage(row.symbol)),
    }


def _is_complete(coverage: SymbolCoverage) -> bool:
    """True when something is covered and nothing of it is missing."""
    doubtful = [hole for hole in coverage.holes if not hole.proved]
    return bool(coverage.segments) and not coverage.gaps and not doubtful
