"""What is held and what is missing, as readers see it: the fold of a symbol's coverage events.

The processor alone decides what is held (``holdings``) and says each change once; everyone else folds those
changes here. Times are those of the trades held next to the missing ids.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence

import msgspec

from ingestion.pipeline.records import CoverageEvent, CoverageKind

# Of what has been repaired so much is kept, the newest: a year of many small gaps must not fill the memory of every
# process. The table of events has all of them.
MOST_REPAIRED = 2_000
# Pages of several gaps come in turns, and those of one gap are told as one: it is found among so many.
_LOOK_BACK = 64

REPAIRING = "repairing"
BEYOND_REST = "beyond_rest"


class Segment(msgspec.Struct, frozen=True):
    """A covered span; the last one of a symbol is open (``to_id`` and ``covered_to`` null)."""

    name: int
    from_id: int | None
    covered_from: int
    to_id: int | None = None
    covered_to: int | None = None


class Span(msgspec.Struct, frozen=True):
    """Missing ids ``from_id..to_id`` (inclusive) between trades held at ``from_time`` and ``to_time``.

    ``opened_at``: when they were first known to be missing; ``asked_at``: when repair last said that it had asked for
    them (or part of them came), and ``asked`` what came of it: ``repairing``, ``beyond_rest``, or null before.
    """

    from_id: int
    to_id: int
    from_time: int
    to_time: int
    opened_at: int
    cause: str
    proved: bool = False
    closed_at: int | None = None
    asked: str | None = None
    asked_at: int | None = None

    @property
    def count(self) -> int:
        return self.to_id - self.from_id + 1

    def touches(self, from_ms: int, to_ms: int) -> bool:
        """True when a missing id may belong to the half-open time range."""
        return self.from_time < to_ms and self.to_time >= from_ms


class SymbolCoverage(msgspec.Struct, frozen=True):
    """Segments, open gaps and holes in ascending order; ``repaired`` in the order in which they closed.

    ``forgotten``: how many of the oldest repaired ones are not listed any more.
    """

    segments: tuple[Segment, ...] = ()
    gaps: tuple[Span, ...] = ()
    holes: tuple[Span, ...] = ()
    repaired: tuple[Span, ...] = ()
    forgotten: int = 0


def fold_events(events: Iterable[CoverageEvent], most_repaired: int = MOST_REPAIRED) -> SymbolCoverage:
    """The coverage after all events of one symbol, oldest first."""
    return apply_events(SymbolCoverage(), events, most_repaired)


def apply_events(
    coverage: SymbolCoverage, events: Iterable[CoverageEvent], most_repaired: int = MOST_REPAIRED
) -> SymbolCoverage:
    """The coverage after more events, oldest first; each must be applied once.

    Many at a time, because each call copies what is known, and a long history has many thousand spans.
    """
    folding = _Folding(list(coverage.segments), list(coverage.gaps), list(coverage.holes), list(coverage.repaired))
    for event in events:
        folding.take(event)
    surplus = max(len(folding.repaired) - most_repaired, 0)
    del folding.repaired[:surplus]
    return SymbolCoverage(
        tuple(folding.segments),
        tuple(folding.gaps),
        tuple(folding.holes),
        tuple(folding.repaired),
        coverage.forgotten + surplus,
    )


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
                self._open(_span(event))
            case CoverageKind.GAP_ASKED:
                self._note(event)
            case CoverageKind.GAP_CLOSED:
                self._fill(_span(event), event.known_at)
            case CoverageKind.TAIL_CLOSED:
                self._join_repaired(msgspec.structs.replace(_span(event), closed_at=event.known_at))
            case CoverageKind.HOLE:
                self._declare(_span(event), event.known_at)
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

    def _open(self, span: Span) -> None:
        """A gap is told again when its bounds are known better: it stays as old as it was."""
        known = _subtract(self.gaps, span)
        asked = known[0] if known else span
        _insert(self.gaps, _since(msgspec.structs.replace(span, asked=asked.asked, asked_at=asked.asked_at), known))

    def _note(self, event: CoverageEvent) -> None:
        asked = _span(event)
        place = _place(self.gaps, asked.from_id, asked.to_id)
        self.gaps[place] = [_asked(gap, event.cause, event.known_at) for gap in self.gaps[place]]

    def _fill(self, span: Span, known_at: int) -> None:
        known = _subtract(self.gaps, span)
        if known:
            # What is left at both sides is being fetched as well.
            beside = _place(self.gaps, known[0].from_id, known[-1].to_id)
            self.gaps[beside] = [_asked(gap, REPAIRING, known_at) for gap in self.gaps[beside]]
        known += _subtract(self.holes, span)
        if known:
            self._join_repaired(_since(msgspec.structs.replace(span, closed_at=known_at), known))

    def _join_repaired(self, span: Span) -> None:
        """One gap is one row, though it comes page by page."""
        for place in range(len(self.repaired) - 1, max(len(self.repaired) - _LOOK_BACK, 0) - 1, -1):
            other = self.repaired[place]
            if (other.opened_at, other.cause) == (span.opened_at, span.cause) and _are_neighbours(other, span):
                del self.repaired[place]
                low, high = sorted((other, span), key=lambda item: item.from_id)
                span = msgspec.structs.replace(
                    span, from_id=low.from_id, to_id=high.to_id, from_time=low.from_time, to_time=high.to_time
                )
        self.repaired.append(span)

    def _declare(self, span: Span, known_at: int) -> None:
        """A hole is told again when its bounds are known better: it stays what it was."""
        missing, told = _subtract(self.gaps, span), _subtract(self.holes, span)
        if told and not missing:
            span = msgspec.structs.replace(told[0], from_time=span.from_time, to_time=span.to_time)
        else:
            span = _since(msgspec.structs.replace(span, asked_at=known_at), missing + told)
        _insert(self.holes, span)

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
        event.known_at if event.opened_at is None else event.opened_at,
        event.cause,
    )


def _since(span: Span, known: Sequence[Span]) -> Span:
    """The span as old as the oldest of those whose ids it takes."""
    oldest = min((other.opened_at for other in known), default=span.opened_at)
    return msgspec.structs.replace(span, opened_at=min(oldest, span.opened_at))


def _asked(gap: Span, outcome: str, at: int) -> Span:
    return msgspec.structs.replace(gap, asked=outcome, asked_at=at)


def _are_neighbours(left: Span, right: Span) -> bool:
    return left.to_id + 1 == right.from_id or right.to_id + 1 == left.from_id


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


def _subtract(spans: list[Span], part: Span) -> list[Span]:
    """Take the ids of ``part`` out of the spans, in place; returns the spans that held any, as they were.

    An end that is cut is bounded by the time of the id next to it.
    """
    place = _place(spans, part.from_id, part.to_id)
    known = spans[place]
    left_over = []
    for span in known:
        if span.from_id < part.from_id:
            to_time = max(part.from_time, span.from_time)
            left_over.append(msgspec.structs.replace(span, to_id=part.from_id - 1, to_time=to_time))
        if span.to_id > part.to_id:
            from_time = min(part.to_time, span.to_time)
            left_over.append(msgspec.structs.replace(span, from_id=part.to_id + 1, from_time=from_time))
    spans[place] = left_over
    return known


def _insert(spans: list[Span], span: Span) -> None:
    spans.insert(bisect_left(spans, span.from_id, key=lambda item: item.from_id), span)
