"""What is held and what is missing, as readers see it: the fold of a symbol's coverage events.

The processor alone decides what is held (``holdings``) and says each change once; everyone else folds those
changes here. Times are those of the trades held next to the missing ids.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence

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
    return apply_events(SymbolCoverage(), events)


def apply_events(coverage: SymbolCoverage, events: Iterable[CoverageEvent]) -> SymbolCoverage:
    """The coverage after more events, oldest first; each must be applied once.

    Many at a time, because each call copies what is known, and a long history has many thousand spans.
    """
    folding = _Folding(list(coverage.segments), list(coverage.gaps), list(coverage.holes), list(coverage.repaired))
    for event in events:
        folding.take(event)
    return SymbolCoverage(*(tuple(part) for part in msgspec.structs.astuple(folding)))


def touching(spans: Sequence[Span], from_ms: int, to_ms: int) -> list[Span]:
    """The spans of which a missing id may belong to ``[from_ms, to_ms)``; quick among many thousands.

    Ids and times rise together: what lies below a span that ended before the range, or above one that begins
    after it, cannot touch it.
    """
    start = end = bisect_left(spans, from_ms, key=lambda span: span.to_time)
    while end < len(spans) and spans[end].from_time < to_ms:
        end += 1
    return [span for span in spans[start:end] if span.touches(from_ms, to_ms)]


def missing_ids(coverage: SymbolCoverage, from_ms: int, to_ms: int) -> int:
    """How many distinct ids of gaps and unproved holes may belong to ``[from_ms, to_ms)``."""
    spans = touching(coverage.gaps, from_ms, to_ms) + touching(coverage.holes, from_ms, to_ms)
    return sum(span.count for span in spans if not span.proved)


def are_missing(coverage: SymbolCoverage, from_id: int, to_id: int) -> bool:
    """True when every id of ``from_id..to_id`` is in a gap or a hole."""
    spans = _sharing(coverage.gaps, from_id, to_id) + _sharing(coverage.holes, from_id, to_id)
    known = sum(min(span.to_id, to_id) - max(span.from_id, from_id) + 1 for span in spans)
    return known == to_id - from_id + 1


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


class _Folding(msgspec.Struct):
    """A coverage in the making: the same fields as lists."""

    segments: list[Segment]
    gaps: list[Span]
    holes: list[Span]
    repaired: list[Span]

    def take(self, event: CoverageEvent) -> None:
        match event.kind:
            case CoverageKind.SEGMENT_OPENED | CoverageKind.SEGMENT_CLOSED:
                self._set_segment(event)
            case CoverageKind.GAP_OPENED:
                _subtract(self.gaps, _span(event))
                _insert(self.gaps, _span(event))
            case CoverageKind.GAP_CLOSED:
                self._fill(event)
            case CoverageKind.HOLE:
                _subtract(self.gaps, _span(event))
                _subtract(self.holes, _span(event))
                _insert(self.holes, _span(event))
            case CoverageKind.HOLE_PROVED:
                self._prove(event)

    def _set_segment(self, event: CoverageEvent) -> None:
        """Segments are named by the time at which they were opened first; a later event moves their ends."""
        name = event.segment if event.segment is not None else event.known_at
        start = event.from_time or 0
        # A start that was set lower may swallow earlier segments (a `want` joined them).
        lowest = (event.from_id or 0) - 1
        kept = [
            segment
            for segment in self.segments
            if segment.name != name and segment.to_id is not None and segment.to_id < lowest
        ]
        end = (event.to_id, event.to_time) if event.kind == CoverageKind.SEGMENT_CLOSED else (None, None)
        self.segments = [*kept, Segment(name, event.from_id, start, *end)]

    def _fill(self, event: CoverageEvent) -> None:
        span = _span(event)
        was_missing = _subtract(self.gaps, span)
        if _subtract(self.holes, span) or was_missing:
            self.repaired.append(msgspec.structs.replace(span, closed_at=event.known_at))

    def _prove(self, event: CoverageEvent) -> None:
        """Only ids that are a hole still: a part of it may have been filled meanwhile, or not be proved yet."""
        proved = _span(event)
        place = _place(self.holes, proved.from_id, proved.to_id)
        self.holes[place] = [part for hole in self.holes[place] for part in _proved_parts(hole, proved)]


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


def _proved_parts(hole: Span, proved: Span) -> list[Span]:
    """The hole cut in up to three: below what is proved, that, and above it. Its times stay: no id between is held."""
    low, high = max(hole.from_id, proved.from_id), min(hole.to_id, proved.to_id)
    parts = [(hole.from_id, low - 1, hole.proved), (low, high, True), (high + 1, hole.to_id, hole.proved)]
    return [
        msgspec.structs.replace(hole, from_id=first, to_id=last, proved=is_proved)
        for first, last, is_proved in parts
        if first <= last
    ]


def _sharing(spans: Sequence[Span], from_id: int, to_id: int) -> list[Span]:
    return list(spans[_place(spans, from_id, to_id)])


def _place(spans: Sequence[Span], from_id: int, to_id: int) -> slice:
    """Where the spans are that share an id with ``from_id..to_id``; O(log n)."""
    start = end = bisect_left(spans, from_id, key=lambda span: span.to_id)
    while end < len(spans) and spans[end].from_id <= to_id:
        end += 1
    return slice(start, end)


def _subtract(spans: list[Span], part: Span) -> bool:
    """Take the ids of ``part`` out of the spans, in place; True when they held any. O(log n) to find.

    An end that is cut is bounded by the time of the id next to it.
    """
    start = end = bisect_left(spans, part.from_id, key=lambda span: span.to_id)
    left_over = []
    while end < len(spans) and spans[end].from_id <= part.to_id:
        span = spans[end]
        end += 1
        if span.from_id < part.from_id:
            to_time = max(part.from_time, span.from_time)
            left_over.append(msgspec.structs.replace(span, to_id=part.from_id - 1, to_time=to_time))
        if span.to_id > part.to_id:
            from_time = min(part.to_time, span.to_time)
            left_over.append(msgspec.structs.replace(span, from_id=part.to_id + 1, from_time=from_time))
    spans[start:end] = left_over
    return end > start


def _insert(spans: list[Span], span: Span) -> None:
    spans.insert(bisect_left(spans, span.from_id, key=lambda item: item.from_id), span)
