"""Writes of what is traded and watched. Each is one transaction, so a watcher sees all of it or nothing."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from django.db import transaction

from markets.models import Symbol
from markets.types import SCALE

WATCHED_AT_FIRST = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
KLINES_AT_FIRST = (*WATCHED_AT_FIRST, "BTCUSDC", "ETHUSDC", "XRPUSDC", "SOLUSDC")
_KEPT = ("base", "quote", "status", "tick_size", "step_size")
GONE = "GONE"


class SymbolInfo(Protocol):
    """A pair as the exchange describes it; the steps are integers scaled by 10**8."""

    symbol: str
    base: str
    quote: str
    status: str
    tick_size: int
    step_size: int


@dataclass(frozen=True, slots=True)
class Changes:
    """What a synchronisation changed, as symbol names."""

    added: list[str]
    changed: list[str]
    gone: list[str]


@transaction.atomic
def apply_exchange_info(infos: Iterable[SymbolInfo]) -> Changes:
    """Bring the table in line with the exchange. What is watched stays the operator's choice.

    A symbol that the exchange no longer lists is kept with the status GONE, because its data is kept too.
    """
    known = {row.symbol: row for row in Symbol.objects.all()}
    is_new = not any(row.trades_enabled or row.klines_enabled for row in known.values())
    listed = {info.symbol: _row(info) for info in infos}
    added = [_as_first_install(row) if is_new else row for name, row in listed.items() if name not in known]
    changed = [
        _updated(known[name], row) for name, row in listed.items() if name in known and _differs(known[name], row)
    ]
    gone = [row for name, row in known.items() if name not in listed and row.status != GONE]
    for row in gone:
        row.status = GONE
    Symbol.objects.bulk_create(added, batch_size=500)
    Symbol.objects.bulk_update([*changed, *gone], _KEPT, batch_size=500)
    return Changes(*(sorted(row.symbol for row in rows) for rows in (added, changed, gone)))


def _row(info: SymbolInfo) -> Symbol:
    return Symbol(
        symbol=info.symbol,
        base=info.base,
        quote=info.quote,
        status=info.status,
        tick_size=Decimal(info.tick_size) / SCALE,
        step_size=Decimal(info.step_size) / SCALE,
    )


def _as_first_install(row: Symbol) -> Symbol:
    row.trades_enabled = row.symbol in WATCHED_AT_FIRST
    row.klines_enabled = row.symbol in KLINES_AT_FIRST
    return row


def _differs(old: Symbol, new: Symbol) -> bool:
    return any(getattr(old, field) != getattr(new, field) for field in _KEPT)


def _updated(old: Symbol, new: Symbol) -> Symbol:
    for field in _KEPT:
        setattr(old, field, getattr(new, field))
    return old


def enable(symbols: Iterable[str]) -> int:
    """Watch the trades of these symbols; returns how many were not watched before."""
    return Symbol.objects.filter(symbol__in=list(symbols), trades_enabled=False).update(trades_enabled=True)


def disable(symbols: Iterable[str]) -> int:
    """Watch the trades of these symbols no more; returns how many were watched. Their data stays."""
    return Symbol.objects.filter(symbol__in=list(symbols), trades_enabled=True).update(trades_enabled=False)


@transaction.atomic
def watch_exactly(symbols: Iterable[str]) -> None:
    """Watch the trades of these symbols and of no others."""
    names = list(symbols)
    Symbol.objects.exclude(symbol__in=names).filter(trades_enabled=True).update(trades_enabled=False)
    enable(names)
