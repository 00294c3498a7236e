"""What is held of a range of time, from a symbol's segments, gaps and holes."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from analytics.clickhouse.client import client
from analytics.clickhouse.sql import sql
from analytics.reading import as_of
from analytics.reading.minutes import Span, forming_candles
from analytics.reading.view import Snapshot
from ingestion.pipeline.coverage import (
    BEYOND_REST,
    REPAIRING,
    Segment,
    SymbolCoverage,
    fold_events,
    is_covered,
    missing_ids,
)
from ingestion.pipeline.coverage import Span as Missing
from ingestion.pipeline.records import Candle, CoverageEvent
from markets.types import MINUTE_MS

# In the small block of other answers; /coverage lists them all.
MOST_GAPS: Final = 20


def block(
    known: Snapshot, span: Span, stale_s: float | None, minutes: Sequence[Candle] | None = None
) -> dict[str, Any]:
    """The ``coverage`` block of an answer about a range of time (API.md sections 1 and 2).

    ``minutes``: every closed minute of the range, where the caller has read them: then nothing is asked again.
    """
    summary = totals(known, span, ids_in(known, span, minutes))
    return {
        "complete": summary["complete"],
        "from": span.start,
        "to": span.end,
        "held": summary["held"],
        "missing": summary["missing"],
        "holes": summary["holes"],
        "gaps": [gap_json(*item) for item in touching(known.coverage, span)[:MOST_GAPS]],
        "feed_time": None if known.clock is None else known.clock.feed_time,
        "stale_s": stale_s,
    }


def totals(known: Snapshot, span: Span, ids: Span | None) -> dict[str, Any]:
    """``complete``, ``held``, ``missing`` and ``holes`` of a range that holds the ids ``ids`` (half-open)."""
    coverage = known.coverage
    missing = missing_ids(coverage, *span)
    return {
        "complete": not missing and _is_covered(known, span),
        "held": 0 if ids is None else held_ids(coverage, ids),
        "missing": missing,
        "holes": sum(hole.count for hole in coverage.holes if hole.touches(*span)),
    }


def _is_covered(known: Snapshot, span: Span) -> bool:
    if known.clock is None or not known.coverage.segments:
        return False
    # An empty range is one instant.
    end = max(span.end, span.start + 1)
    return is_covered(known.coverage, span.start, end, max(known.clock.feed_time, span.start + 1))


def held_ids(coverage: SymbolCoverage, ids: Span) -> int:
    """How many of the ids are held: those of the segments, less gaps and holes."""
    held = sum(_shared(ids, Span(*_ids_of(segment))) for segment in coverage.segments)
    lost = sum(_shared(ids, Span(span.from_id, span.to_id + 1)) for span in (*coverage.gaps, *coverage.holes))
    return max(held - lost, 0)


def _ids_of(segment: Segment) -> tuple[int, int]:
    first = segment.from_id if segment.from_id is not None else -(2**62)
    return first, 2**62 if segment.to_id is None else segment.to_id + 1


def _shared(left: Span, right: Span) -> int:
    return max(min(left.end, right.end) - max(left.start, right.start), 0)


def ids_in(known: Snapshot, span: Span, minutes: Sequence[Candle] | None = None) -> Span | None:
    """From the first to the last trade id of a range (half-open); None when it holds no trade.

    Candles tell it for whole minutes, which costs the same for an hour and for a year; the edges of other
    ranges are looked up among the trades. ``minutes``: as in ``block``.
    """
    if known.as_of is not None:
        return as_of.ids_in(known, span)
    now = known.clock.feed_time if known.clock is not None else None
    is_whole = not span.start % MINUTE_MS and (not span.end % MINUTE_MS or now is not None and span.end >= now)
    if is_whole and minutes is not None:
        found = _ids_of_minutes(minutes)
    else:
        found = _stored_ids("minute_ids" if is_whole else "trade_ids", known.symbol, span)
    found += _unsunk_ids(known, span) if is_whole else _unsunk_trade_ids(known, span)
    if not found:
        return None
    return Span(min(first for first, _ in found), max(last for _, last in found) + 1)


def _stored_ids(question: str, symbol: str, span: Span) -> list[tuple[int, int]]:
    row = client().query(sql(question), parameters={"symbol": symbol, "start": span.start, "end": span.end}).first_row
    return [tuple(row)] if row is not None and row[0] is not None and row[1] is not None else []


def _ids_of_minutes(candles: Iterable[Candle]) -> list[tuple[int, int]]:
    return [
        (candle.first_trade_id, candle.last_trade_id)
        for candle in candles
        if candle.first_trade_id is not None and candle.last_trade_id is not None
    ]


def _unsunk_ids(known: Snapshot, span: Span) -> list[tuple[int, int]]:
    closed = (record.candle for record in known.unsunk)
    return _ids_of_minutes(candle for candle in (*closed, *forming_candles(known)) if span.holds(candle.open_time))


def _unsunk_trade_ids(known: Snapshot, span: Span) -> Iterable[tuple[int, int]]:
    return [
        (item.trade.trade_id, item.trade.trade_id) for item in known.unsunk_trades if span.holds(item.trade.trade_time)
    ]


def all_ids(known: Snapshot) -> Span | None:
    """From the first id of the first segment to the newest id that is held (half-open)."""
    first = [segment.from_id for segment in known.coverage.segments if segment.from_id is not None]
    last = [segment.to_id for segment in known.coverage.segments if segment.to_id is not None]
    if known.live is not None and known.live.last_trade_id is not None:
        last.append(known.live.last_trade_id)
    return Span(min(first), max(last) + 1) if first and last else None


def time_of(known: Snapshot, trade_id: int) -> int | None:
    """When a trade happened; None when it is not held."""
    if known.live is not None and trade_id == known.live.last_trade_id:
        return known.live.last_trade_time
    for item in known.unsunk_trades:
        if item.trade.trade_id == trade_id:
            return item.trade.trade_time
    row = client().query(sql("trade_time"), parameters={"symbol": known.symbol, "trade_id": trade_id}).first_row
    return None if row is None else row[0]


# --- gaps and holes -----------------------------------------------------------------------------------

OPEN: Final = "open"
HOLE: Final = "hole"
REPAIRED: Final = "repaired"
_EVERY_ONE: Final = 2**62


def all_repaired(known: Snapshot) -> list[Missing]:
    """Every gap that was repaired, in the order in which they were: those that the view let go are in the table."""
    if not known.coverage.forgotten:
        return list(known.coverage.repaired)
    query = {"symbol": known.symbol, "since": 0, "before": 2**63}
    rows = client().query(sql("coverage_of_symbol"), parameters=query).result_rows
    events = (CoverageEvent(kind, known.symbol, *fields) for kind, *fields in rows)
    older = fold_events(events, most_repaired=_EVERY_ONE).repaired[: known.coverage.forgotten]
    return [*older, *known.coverage.repaired]


def touching(coverage: SymbolCoverage, span: Span, repaired: Iterable[Missing] = ()) -> list[tuple[Missing, str]]:
    """The open gaps and the holes that may belong to a range, with their state, by id; and these repaired ones."""
    named = [(gap, REPAIRING if gap.asked == REPAIRING else OPEN) for gap in coverage.gaps]
    named += [(hole, HOLE) for hole in coverage.holes]
    named += [(gap, REPAIRED) for gap in repaired]
    return sorted((item for item in named if item[0].touches(*span)), key=lambda item: item[0].from_id)


def gap_json(gap: Missing, state: str) -> dict[str, Any]:
    """A gap or hole exactly as API.md section 3 shows it."""
    return {
        "from_id": gap.from_id,
        "to_id": gap.to_id,
        "count": gap.count,
        "from_time": gap.from_time,
        "to_time": gap.to_time,
        "opened_at": gap.opened_at,
        "closed_at": gap.closed_at,
        "asked_at": gap.asked_at,
        "state": state,
        "proved": gap.proved,
        "cause": BEYOND_REST if gap.asked == BEYOND_REST and state == OPEN else gap.cause,
    }


def segment_json(known: Snapshot, segment: Segment) -> dict[str, Any]:
    """A segment; the open one reaches to the newest trade held and to the symbol's now."""
    live, clock = known.live, known.clock
    is_open = segment.covered_to is None
    return {
        "from_id": segment.from_id,
        "to_id": live.last_trade_id if is_open and live is not None else segment.to_id,
        "from_time": segment.covered_from,
        "to_time": clock.feed_time if is_open and clock is not None else segment.covered_to,
    }
