"""What is held and what is missing, as readers see it: the fold of a symbol's coverage events.

The processor alone decides what is held (``holdings``) and says each change once; everyone else folds those
changes here. Times are those of the trades held next to the missing ids.
"""

from bisect import bisect_left
from collections.abc import Iterable

import msgspec

from ingestion.pipeline.records import CoverageEvent, CoverageKind


class Segment(msgspec.Struct, frozen=True):
    """A covered span; the last one of a symbol is open (``to_id`` and ``covered_to`` null)."""

    name: int
    from_id: int | None
    covered_from: int
    to_id: int | None = None
    covered_to: int | None = None


class Span(msgspec.Struct, frozen=True):
    """Missing ids ``from_id..to_id`` (inclusive) between trades held at ``from_time`` and ``to_time``."""

    from_id: int
    to_id: int
    from_time: int
    to_time: int
    opened_at: int
    cause: str
    proved: bool = False
    closed_at: int | None = None

    @property
    def count(self) -> int:
        return self.to_id - self.from_id + 1

    def touches(self, from_ms: int, to_ms: int) -> bool:
        """True when a missing id may belong to the half-open time range."""
        return self.from_time < to_ms and self.to_time >= from_ms


class SymbolCoverage(msgspec.Struct, frozen=True):
    """Segments, open gaps and holes in ascending order; ``repaired`` in the order in which they closed."""

    segments: tuple[Segment, ...] = ()
    gaps: tuple[Span, ...] = ()
    holes: tuple[Span, ...] = ()
    repaired: tuple[Span, ...] = ()


def fold_events(events: Iterable[CoverageEvent]) -> SymbolCoverage:
    """The coverage after all events of one symbol, oldest first."""
    coverage = SymbolCoverage()
    for event in events:
        coverage = apply_event(coverage, event)
    return coverage


def apply_event(coverage: SymbolCoverage, event: CoverageEvent) -> SymbolCoverage:
    """The coverage after one more event. An event that was applied already changes nothing."""
    match event.kind:
        case CoverageKind.SEGMENT_OPENED | CoverageKind.SEGMENT_CLOSED:
            return _with_segment(coverage, event)
        case CoverageKind.GAP_OPENED:
            return _with_gap(coverage, event)
        case CoverageKind.GAP_CLOSED:
            return _without_ids(coverage, event)
        case CoverageKind.HOLE:
            return _with_hole(coverage, event)
        case CoverageKind.HOLE_PROVED:
            return _with_proof(coverage, event)
    return coverage


def missing_ids(coverage: SymbolCoverage, from_ms: int, to_ms: int) -> int:
    """How many distinct ids of gaps and unproved holes may belong to ``[from_ms, to_ms)``."""
    return sum(
        span.count for span in (*coverage.gaps, *coverage.holes) if not span.proved and span.touches(from_ms, to_ms)
    )


def is_covered(coverage: SymbolCoverage, from_ms: int, to_ms: int, feed_time: int) -> bool:
    """True when segments without a gap between them hold all of ``[from_ms, to_ms)``; the open one reaches to now."""
    reached = from_ms
    for segment in coverage.segments:
        end = feed_time if segment.covered_to is None else segment.covered_to
        if segment.covered_from <= reached < end:
            reached = end
        if reached >= to_ms:
            return True
    return False


def overlaps_segment(coverage: SymbolCoverage, from_ms: int, to_ms: int) -> bool:
    """True when a part of ``[from_ms, to_ms)`` lies in a segment."""
    return any(
        segment.covered_from < to_ms and (segment.covered_to is None or segment.covered_to > from_ms)
        for segment in coverage.segments
    )


def _with_segment(coverage: SymbolCoverage, event: CoverageEvent) -> SymbolCoverage:
    """Segments are named by the time at which they were opened first; a later event moves their ends."""
    name = event.segment if event.segment is not None else event.known_at
    start = event.from_time or 0
    # A start that was set lower may swallow earlier segments (a `want` joined them).
    lowest = (event.from_id or 0) - 1
    kept = [
        segment
        for segment in coverage.segments
        if segment.name != name and segment.to_id is not None and segment.to_id < lowest
    ]
    is_closed = event.kind == CoverageKind.SEGMENT_CLOSED
    segment = Segment(
        name,
        event.from_id,
        start,
        event.to_id if is_closed else None,
        event.to_time if is_closed else None,
    )
    return msgspec.structs.replace(coverage, segments=(*kept, segment))


def _with_gap(coverage: SymbolCoverage, event: CoverageEvent) -> SymbolCoverage:
    span = _span(event)
    gaps = _insert(_subtract(coverage.gaps, span), span)
    return msgspec.structs.replace(coverage, gaps=gaps)


def _without_ids(coverage: SymbolCoverage, event: CoverageEvent) -> SymbolCoverage:
    span = _span(event)
    if not _overlapping(coverage.gaps, span) and not _overlapping(coverage.holes, span):
        return coverage
    return msgspec.structs.replace(
        coverage,
        gaps=_subtract(coverage.gaps, span),
        holes=_subtract(coverage.holes, span),
        repaired=(*coverage.repaired, msgspec.structs.replace(span, closed_at=event.known_at)),
    )


def _with_hole(coverage: SymbolCoverage, event: CoverageEvent) -> SymbolCoverage:
    span = _span(event)
    return msgspec.structs.replace(
        coverage,
        gaps=_subtract(coverage.gaps, span),
        holes=_insert(_subtract(coverage.holes, span), span),
    )


def _with_proof(coverage: SymbolCoverage, event: CoverageEvent) -> SymbolCoverage:
    holes = tuple(
        msgspec.structs.replace(hole, proved=True) if hole.from_id == event.from_id else hole for hole in coverage.holes
    )
    return msgspec.structs.replace(coverage, holes=holes)


def _span(event: CoverageEvent) -> Span:
    assert event.from_id is not None
    assert event.to_id is not None
    return Span(
        event.from_id,
        event.to_id,
        event.from_time or 0,
        event.to_time or 0,
        event.known_at,
        event.cause,
    )


def _overlapping(spans: tuple[Span, ...], part: Span) -> slice | None:
    """The place of the spans that share an id with ``part``; None when there is none. O(log n)."""
    start = bisect_left(spans, part.from_id, key=lambda span: span.to_id)
    end = start
    while end < len(spans) and spans[end].from_id <= part.to_id:
        end += 1
    return slice(start, end) if end > start else None


def _subtract(spans: tuple[Span, ...], part: Span) -> tuple[Span, ...]:
    """The spans without the ids of ``part``; a cut end is bounded by the time of the id next to it."""
    place = _overlapping(spans, part)
    if place is None:
        return spans
    left_over = []
    for span in spans[place]:
        if span.from_id < part.from_id:
            left_over.append(
                msgspec.structs.replace(span, to_id=part.from_id - 1, to_time=max(part.from_time, span.from_time))
            )
        if span.to_id > part.to_id:
            left_over.append(
                msgspec.structs.replace(span, from_id=part.to_id + 1, from_time=min(part.to_time, span.to_time))
            )
    return (*spans[: place.start], *left_over, *spans[place.stop :])


def _insert(spans: tuple[Span, ...], span: Span) -> tuple[Span, ...]:
    place = bisect_left(spans, span.from_id, key=lambda item: item.from_id)
    return (*spans[:place], span, *spans[place:])
