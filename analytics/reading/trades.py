"""Pages of trades: the stored ones, and those that the sink has not stored yet."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from analytics.clickhouse.client import client
from analytics.clickhouse.sql import sql
from analytics.reading.minutes import FOREVER, Span
from analytics.reading.tail import get_tail
from analytics.reading.view import Clock, LiveView, Snapshot, snapshot
from ingestion.pipeline.records import Enriched, Trade
from markets.types import SCALE, to_text

__all__ = ["TradePage", "between", "invalid_ids", "last_before", "read_trades", "trade_json"]

_ANY_ID: Final = -(2**62)


class TradePage(msgspec.Struct, frozen=True):
    """Trades in ascending order; ``place``: the first id that the reader does not have (see CandlePage)."""

    trades: list[Enriched]
    seq: int
    place: int
    more: bool
    span: Span
    clock: Clock | None
    snapshot: Snapshot


def read_trades(
    symbol: str,
    *,
    start: int | None = None,
    end: int | None = None,
    from_id: int | None = None,
    limit: int = 500,
    view: LiveView | None = None,
) -> TradePage:
    """The first ``limit`` trades with ``start <= trade_time < end`` and ids from ``from_id`` on; without
    ``start`` and ``from_id`` the last ones before ``end``. Ids declared invalid are left out."""
    known = snapshot(get_tail().view if view is None else view, symbol)
    newest = start is None and from_id is None
    span = Span(start or 0, FOREVER if end is None else end)
    found = _page(known, span, _ANY_ID if from_id is None else from_id, limit + 1, newest=newest)
    more = len(found) > limit and not newest
    rows = found[-limit:] if newest else found[:limit]
    place = rows[-1].trade.trade_id + 1 if rows else _place(known, span, from_id, newest=newest)
    return TradePage(rows, known.trades_seq, place, more, _span(rows, start, end, known.clock), known.clock, known)


def _place(known: Snapshot, span: Span, from_id: int | None, *, newest: bool) -> int:
    """Where a reader of an empty page goes on: after the last trade that is before the range."""
    if from_id is not None:
        return from_id
    last = last_before(known.symbol, span.end if newest else span.start, known.unsunk_trades)
    return 0 if last is None else last.trade.trade_id + 1


def between(symbol: str, span: Span, unsunk: Iterable[Enriched], as_of: int | None = None) -> list[Enriched]:
    """Every trade of the span, oldest first; ``as_of``: of the stored ones those that were known then."""
    return _together(_stored("trades_after", symbol, span, _ANY_ID, 2**31, as_of), _fitting(unsunk, span, _ANY_ID))


def last_before(symbol: str, time_ms: int, unsunk: Iterable[Enriched], as_of: int | None = None) -> Enriched | None:
    """The newest trade before a time; ``as_of`` as in ``between``."""
    span = Span(0, time_ms)
    found = _together(_stored("trades_before", symbol, span, _ANY_ID, 1, as_of), _fitting(unsunk, span, _ANY_ID))
    return found[-1] if found else None


def invalid_ids(
    symbol: str, from_id: int, to_id: int, unsunk: Iterable[Enriched], as_of: int | None = None
) -> list[int]:
    """The ids of ``from_id..to_id`` (inclusive) that the exchange declared invalid, ascending."""
    parameters = {"symbol": symbol, "from_id": from_id, "to_id": to_id, "as_of": _until(as_of)}
    found = {row[0] for row in client().query(sql("invalid_ids"), parameters=parameters).result_rows}
    found.update(
        item.trade.trade_id for item in unsunk if item.trade.is_invalid and from_id <= item.trade.trade_id <= to_id
    )
    return sorted(found)


def _page(known: Snapshot, span: Span, from_id: int, limit: int, *, newest: bool) -> list[Enriched]:
    stored = _stored("trades_before" if newest else "trades_after", known.symbol, span, from_id, limit)
    found = _together(stored, _fitting(known.unsunk_trades, span, from_id))
    return found[-limit:] if newest else found[:limit]


def _together(*sources: Iterable[Enriched]) -> list[Enriched]:
    """Each trade once, by id: its facts are the same wherever it comes from."""
    by_id = {item.trade.trade_id: item for source in sources for item in source}
    return [by_id[trade_id] for trade_id in sorted(by_id)]


def _fitting(unsunk: Iterable[Enriched], span: Span, from_id: int) -> list[Enriched]:
    return [
        item
        for item in unsunk
        if span.holds(item.trade.trade_time) and item.trade.trade_id >= from_id and not item.trade.is_invalid
    ]


def _stored(
    question: str, symbol: str, span: Span, from_id: int, limit: int, as_of: int | None = None
) -> list[Enriched]:
    rows = client().query(
        sql(question),
        parameters={
            "symbol": symbol,
            "start": span.start,
            "end": span.end,
            "from_id": from_id,
            "limit": limit,
            "as_of": _until(as_of),
        },
    )
    return [_enriched(symbol, row) for row in rows.result_rows]


def _until(as_of: int | None) -> int:
    return FOREVER if as_of is None else as_of


def _enriched(symbol: str, row: Sequence[Any]) -> Enriched:
    (trade_id, price, qty, first_id, last_id, trade_time, maker, source, ingest_ts, event_time, *rest) = row
    base, quote, side, session, latency_ms, trade_day, known_at, late = rest
    trade = Trade(
        symbol, trade_id, price, qty, first_id, last_id, trade_time, bool(maker), source, ingest_ts, event_time
    )
    return Enriched(trade, base, quote, price * qty, side, session, latency_ms, trade_day, known_at, bool(late))


def _span(rows: list[Enriched], start: int | None, end: int | None, clock: Clock | None) -> Span:
    """The range asked for; open sides reach from the first row to now (just past its last trade)."""
    first = rows[0].trade.trade_time if rows else None
    now = clock.feed_time if clock is not None else rows[-1].trade.trade_time + 1 if rows else 0
    to = now if end is None else min(end, now)
    lower = start if start is not None else first if first is not None else to
    return Span(lower, max(to, lower))


def trade_json(item: Enriched) -> dict[str, Any]:
    """The trade exactly as API.md section 3 shows it."""
    trade = item.trade
    return {
        "trade_id": trade.trade_id,
        "price": to_text(trade.price),
        "qty": to_text(trade.qty),
        "notional": _notional_text(item.notional),
        "side": item.side,
        "is_buyer_maker": trade.is_buyer_maker,
        "trade_time": trade.trade_time,
        "event_time": trade.event_time,
        "ingest_ts": trade.ingest_ts,
        "latency_ms": item.latency_ms,
        "first_id": trade.first_id,
        "last_id": trade.last_id,
        "session": item.session,
        "source": trade.source,
    }


def _notional_text(notional: int) -> str:
    """The exact product: eight decimals, and as many more (up to sixteen) as it really has."""
    whole, part = divmod(notional, SCALE * SCALE)
    decimals = f"{part:016d}"
    return f"{whole}.{decimals[:8]}{decimals[8:].rstrip('0')}"
