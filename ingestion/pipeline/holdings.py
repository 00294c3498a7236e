"""Which ids of one symbol are held: segments with their gaps and holes, the processor's own account.

Ids of a symbol rise by one from trade to trade, so a few ranges say exactly what is there. That is
deduplication, gap detection and proof of completeness at once (DESIGN section 7).
"""

from bisect import bisect_left
from collections.abc import Iterator
from itertools import pairwise

import msgspec
from msgspec.structs import replace

from ingestion.pipeline.records import Cause, CoverageEvent, CoverageKind, Ending
from ingestion.pipeline.spans import (
    Behind,
    Gap,
    Segment,
    Verdict,
    between,
    find_span,
    first_id_of,
    part_of,
    start_of,
    touching,
    widen,
)
from markets.types import DAY_MS


class Holdings(msgspec.Struct):
    """The segments of one symbol, oldest first, and the coverage events since they were last taken.

    ``pending_from``: a `want` without an id came: the next trade opens a segment covered from there.
    ``joined``: the newest id held when a connection took over (or a `want` began), and the cause of a jump from there.
    """

    symbol: str
    segments: list[Segment] = []
    pending_from: int | None = None
    joined: tuple[int, str] | None = None
    behind: Behind | None = None

    def open_segment(self) -> Segment | None:
        """The segment that the next trade belongs to, if any."""
        if self.segments and self.segments[-1].closed_at is None:
            return self.segments[-1]
        return None

    def segment_at(self, time_ms: int) -> Segment | None:
        """The newest segment that covers the time; the open one reaches on without end."""
        for segment in reversed(self.segments):
            if segment.covered_from <= time_ms:
                inside = segment.closed_at is None or time_ms < segment.closed_at
                return segment if inside else None
        return None

    def gap_touches(self, from_ms: int, to_ms: int) -> bool:
        """True when an id of an open gap may belong to the half-open range of time."""
        return any(touching(segment.gaps, from_ms, to_ms) for segment in self.segments)

    def missing_between(self, from_ms: int, to_ms: int) -> int:
        """How many missing ids, of gaps and unproved holes, may belong to the half-open range of time."""
        spans = [span for segment in self.segments for span in touching(segment.gaps, from_ms, to_ms)]
        spans += [span for segment in self.segments for span in touching(segment.holes, from_ms, to_ms)]
        return sum(span.to_id - span.from_id + 1 for span in spans if not span.proved)

    def is_unknown(self, from_ms: int, to_ms: int) -> bool:
        """True when an open gap or an unproved hole touches the range: without held trades it is unknown, not empty."""
        return self.missing_between(from_ms, to_ms) > 0

    # --- changes; each returns the events that tell of it ------------------------------------------

    def accept(self, trade_id: int, time: int, last_fill: int, clock: int) -> tuple[Verdict, list[CoverageEvent]]:
        """Take an id in, or say why not. ``time`` is the trade's, ``clock`` the feed's."""
        segment = self.open_segment()
        if segment is not None and trade_id == segment.hi + 1 and segment.hi >= segment.lo:
            segment.hi, segment.hi_time = trade_id, time
            if last_fill > segment.hi_fill:  # an id that the exchange took back has none
                segment.hi_fill = last_fill
            return Verdict.NEW, _NOTHING
        if segment is None and not self._begins_one(trade_id, time):
            return self._accept_below(trade_id, time, last_fill, clock)
        if segment is None or trade_id > segment.hi:
            return Verdict.NEW, self._append(segment, trade_id, time, last_fill, clock)
        return self._accept_below(trade_id, time, last_fill, clock)

    def _begins_one(self, trade_id: int, time: int) -> bool:
        """Does the trade begin a segment where none is open? What is left over from before a switch-off does not."""
        if not self.segments:
            return True
        last = self.segments[-1]
        return trade_id > last.hi and last.closed_at is not None and time > last.closed_at

    def _append(
        self, segment: Segment | None, trade_id: int, time: int, last_fill: int, clock: int
    ) -> list[CoverageEvent]:
        events: list[CoverageEvent] = []
        if segment is not None and segment.hi >= segment.lo and time - segment.known_to > DAY_MS:
            events.append(self._ended(segment, segment.known_to, Ending.SILENCE, clock))
            segment = None
        if segment is None and self.segments and trade_id == self.segments[-1].hi + 1:
            segment = self._reopen(self.segments[-1], Cause.START, clock, events)
        if segment is None:
            segment = self._new_segment(trade_id, time, clock, events)
        if trade_id > segment.hi + 1:
            # The first trade may lie before the covered minute (its `want` named an older id): ids below are not later.
            gap = self._gap_above(segment, trade_id, time, clock)
            segment.gaps.append(gap)
            events.append(self._event(CoverageKind.GAP_OPENED, gap, clock))
        if trade_id == segment.lo:
            segment.lo_time = time
        segment.hi, segment.hi_time, segment.hi_fill = trade_id, time, max(last_fill, segment.hi_fill)
        return events

    def join(self, cause: str) -> None:
        """Another connection brings the trades from here on: what it skips at once was lost to ``cause``."""
        segment = self.open_segment()
        if segment is None or segment.hi < segment.lo:
            return
        if self.joined != (segment.hi, Cause.START):  # before the first trade what is skipped was wanted already
            self.joined = segment.hi, cause

    def _cause_above(self, segment: Segment) -> str:
        """Before the first trade of a segment what is missing was wanted; later it depends on the connection."""
        if self.joined is not None and self.joined[0] == segment.hi:
            return self.joined[1]
        return Cause.START if segment.hi < segment.lo else Cause.STREAM

    def _gap_above(self, segment: Segment, trade_id: int, time: int, clock: int) -> Gap:
        first, times = segment.hi + 1, (min(segment.hi_time, time), time)
        behind = self.behind
        if behind is not None and behind.caught_up == segment.hi:
            # More of what was found to be missing at the end: the same gap.
            return Gap(first, trade_id - 1, *times, behind.cause, False, behind.name, behind.opened_at)
        return Gap(first, trade_id - 1, *times, self._cause_above(segment), False, first, clock)

    def fall_behind(self, clock: int) -> None:
        """The exchange counts fills after the newest that is held."""
        segment = self.open_segment()
        if segment is None or segment.hi < segment.lo:
            return
        if self.behind is None or self.behind.caught_up != segment.hi:
            self.behind = Behind(segment.hi + 1, clock, self._cause_above(segment), segment.hi)

    def catch_up(self, trade_id: int, time_before: int, time: int, clock: int) -> list[CoverageEvent]:
        """REST brought the id that follows the newest: it was missing at the end, where no gap showed it."""
        behind = self.behind
        if behind is None or behind.caught_up + 1 != trade_id:
            return []
        behind.caught_up = trade_id
        found = Gap(trade_id, trade_id, time_before, time, behind.cause, False, behind.name, behind.opened_at)
        return [self._event(CoverageKind.TAIL_CLOSED, found, clock)]

    def _reopen(self, segment: Segment, cause: str, clock: int, events: list[CoverageEvent]) -> Segment:
        """No id lies between: the segment that ended goes on."""
        segment.closed_at = None
        events.append(self._opened(segment, cause, clock))
        return segment

    def _new_segment(self, trade_id: int, time: int, clock: int, events: list[CoverageEvent]) -> Segment:
        covered_from = time if self.pending_from is None else self.pending_from
        self.pending_from = None
        segment = Segment(clock, trade_id, trade_id - 1, covered_from, -1, time, covered_from)
        segment.name = self._unique_name(clock)
        self.segments.append(segment)
        events.append(self._opened(segment, Cause.START, clock))
        return segment

    def _accept_below(
        self, trade_id: int, time: int, last_fill: int, clock: int
    ) -> tuple[Verdict, list[CoverageEvent]]:
        for segment in reversed(self.segments):
            if trade_id > segment.hi:
                continue
            for spans in (segment.gaps, segment.holes):
                index = find_span(spans, trade_id)
                if index is not None:
                    if trade_id == segment.lo:
                        segment.lo_time = time
                    filled = self._fill(spans, index, trade_id, time, clock)
                    return Verdict.FILLED, [filled, *self._tighten(segment.holes, trade_id, time, clock)]
            if trade_id >= segment.lo:
                if self.joined is not None and trade_id == self.joined[0]:
                    self.joined = None  # The connection begins where the holdings end: nothing was lost before it.
                return Verdict.DUPLICATE, _NOTHING
        return Verdict.BEFORE_COVERAGE, _NOTHING

    def _fill(self, spans: list[Gap], index: int, trade_id: int, time: int, clock: int) -> CoverageEvent:
        """Take one id out of a gap or hole; the rest of it keeps the tighter time."""
        gap = spans[index]
        rest = []
        if trade_id > gap.from_id:
            rest.append(replace(gap, to_id=trade_id - 1, to_time=max(time, gap.from_time)))
        if trade_id < gap.to_id:
            rest.append(replace(gap, from_id=trade_id + 1, from_time=min(time, gap.to_time)))
        spans[index : index + 1] = rest
        filled = replace(
            gap,
            from_id=trade_id,
            to_id=trade_id,
            from_time=time if trade_id > gap.from_id else gap.from_time,
            to_time=time if trade_id < gap.to_id else gap.to_time,
        )
        return self._event(CoverageKind.GAP_CLOSED, filled, clock)

    def _tighten(self, holes: list[Gap], trade_id: int, time: int, clock: int) -> Iterator[CoverageEvent]:
        """A hole stays, so it is told again when an id beside it bounds it better: else the minutes beyond that id,
        empty perhaps, would stay unknown with it. A gap needs no such care: it ends, and tells its span once more."""
        place = above = bisect_left(holes, trade_id, key=first_id_of)
        while place and holes[place - 1].to_time > time >= holes[place - 1].from_time:
            place -= 1
            holes[place].to_time = time
            yield self._event(CoverageKind.HOLE, holes[place], clock)
        while above < len(holes) and holes[above].from_time < time <= holes[above].to_time:
            holes[above].from_time = time
            yield self._event(CoverageKind.HOLE, holes[above], clock)
            above += 1

    def want(self, from_id: int | None, covered_from: int, cause: str, clock: int) -> list[CoverageEvent]:
        """Set or lower where the holdings begin; what is missing from there on is a gap like any other."""
        segment = self.open_segment()
        if segment is None:
            return self._first_want(from_id, covered_from, cause, clock)
        if from_id is None or from_id > segment.lo:
            return []
        if from_id == segment.lo:
            return self._cover_earlier(segment, covered_from, cause, clock)
        return self._lower(segment, from_id, covered_from, cause, clock)

    def _first_want(self, from_id: int | None, covered_from: int, cause: str, clock: int) -> list[CoverageEvent]:
        last = self.segments[-1] if self.segments else None
        if last is not None and (from_id is None or from_id <= last.hi + 1):
            # Switched on again and wanted back to where it ended.
            events: list[CoverageEvent] = []
            self._reopen(last, cause, clock, events)
            return events + self.want(from_id, covered_from, cause, clock)
        if from_id is None:
            self.pending_from = covered_from
            return []
        self.pending_from = None
        segment = Segment(self._unique_name(clock), from_id, from_id - 1, covered_from, -1, covered_from, covered_from)
        self.segments.append(segment)
        self.joined = segment.hi, cause
        return [self._opened(segment, cause, clock)]

    def _cover_earlier(self, segment: Segment, covered_from: int, cause: str, clock: int) -> list[CoverageEvent]:
        """The same first id, wanted as covered from an earlier time: nothing but empty minutes lies between."""
        if covered_from >= segment.covered_from:
            return []
        quiet_to, segment.covered_from = segment.covered_from, covered_from
        return [self._opened(segment, cause, clock, quiet_to)]

    def _lower(self, segment: Segment, from_id: int, covered_from: int, cause: str, clock: int) -> list[CoverageEvent]:
        """Begin at an earlier id; the older segments that this reaches become parts of this one."""
        parts = [other for other in self.segments[:-1] if other.hi >= from_id - 1] + [segment]
        for part in parts:
            if part.hi < part.lo:
                # Before its first trade: the id that it was wanted from is missing with those below it, which may be
                # older than the coverage. Those above it are not.
                if self.joined is not None and self.joined[0] == part.hi:
                    self.joined = part.lo, self.joined[1]
                part.lo, part.hi = part.lo + 1, part.lo
        gaps = [Gap(low.hi + 1, high.lo - 1, low.hi_time, start_of(high), cause) for low, high in pairwise(parts)]
        first = parts[0]
        if from_id < first.lo:
            gaps.insert(0, Gap(from_id, first.lo - 1, covered_from, start_of(first), cause))
        new = [replace(gap, name=gap.from_id, opened_at=clock) for gap in gaps if gap.from_id <= gap.to_id]
        widened = [widen(part.gaps[0], new) for part in parts if part.gaps and part.gaps[0].from_id == part.lo]
        self.segments = self.segments[: -len(parts)] + [segment]
        segment.gaps = sorted([*new, *(gap for part in parts for gap in part.gaps)], key=first_id_of)
        segment.holes = [hole for part in parts for hole in part.holes]
        lo_time = covered_from if from_id < first.lo else first.lo_time
        segment.lo, segment.lo_time = min(from_id, first.lo), lo_time
        segment.covered_from = min(covered_from, *(part.covered_from for part in parts))
        opened = self._opened(segment, cause, clock)
        told = sorted([*new, *widened], key=first_id_of)
        return [opened, *(self._event(CoverageKind.GAP_OPENED, gap, clock) for gap in told)]

    def asked(self, from_id: int, to_id: int, outcome: str, clock: int) -> list[CoverageEvent]:
        """Repair asked for ids of ``from_id..to_id`` and has not got them all: told of those that are missing still."""
        return [
            self._event(CoverageKind.GAP_ASKED, part_of(gap, from_id, to_id, outcome), clock)
            for segment in self.segments
            for gap in segment.gaps
            if gap.from_id <= to_id and gap.to_id >= from_id
        ]

    def declare_hole(self, from_id: int, to_id: int, cause: str, clock: int) -> list[CoverageEvent]:
        """The missing ids of ``from_id..to_id`` cannot be had: they leave the gaps and become holes."""
        events: list[CoverageEvent] = []
        for segment in self.segments:
            for gap in [gap for gap in segment.gaps if gap.from_id <= to_id and gap.to_id >= from_id]:
                events += self._cut_hole(segment, gap, from_id, to_id, cause, clock)
        return events

    def _cut_hole(
        self, segment: Segment, gap: Gap, from_id: int, to_id: int, cause: str, clock: int
    ) -> list[CoverageEvent]:
        hole = part_of(gap, from_id, to_id, cause)
        rest = []
        if gap.from_id < hole.from_id:
            rest.append(replace(gap, to_id=hole.from_id - 1))
        if gap.to_id > hole.to_id:
            rest.append(replace(gap, from_id=hole.to_id + 1))
        index = segment.gaps.index(gap)
        segment.gaps[index : index + 1] = rest
        place = bisect_left(segment.holes, hole.from_id, key=lambda item: item.from_id)
        segment.holes.insert(place, hole)
        # What is left of the gap is told again, so that everyone has its times right.
        told = [self._event(CoverageKind.GAP_OPENED, part, clock) for part in rest]
        return [self._event(CoverageKind.HOLE, hole, clock), *told]

    def prove(self, from_id: int, to_id: int, clock: int) -> list[CoverageEvent]:
        """Of ``from_id..to_id`` the exchange counts no trade: what of them is a hole still is not missing any more."""
        events: list[CoverageEvent] = []
        for segment in self.segments:
            for hole in [hole for hole in segment.holes if hole.from_id <= to_id and hole.to_id >= from_id]:
                if not hole.proved:
                    events.append(self._prove(segment, hole, max(from_id, hole.from_id), min(to_id, hole.to_id), clock))
        return events

    def _prove(self, segment: Segment, hole: Gap, from_id: int, to_id: int, clock: int) -> CoverageEvent:
        parts = [(hole.from_id, from_id - 1, False), (from_id, to_id, True), (to_id + 1, hole.to_id, False)]
        index = segment.holes.index(hole)
        segment.holes[index : index + 1] = [
            replace(hole, from_id=first, to_id=last, proved=proved) for first, last, proved in parts if first <= last
        ]
        return self._event(CoverageKind.HOLE_PROVED, part_of(hole, from_id, to_id, hole.cause), clock)

    def lose(self, from_id: int, to_id: int, from_time: int, to_time: int, clock: int) -> list[CoverageEvent]:
        """Held ids of ``from_id..to_id`` are not held any more: a gap like any other. The rest stays as it is."""
        events: list[CoverageEvent] = []
        for segment in self.segments:
            low, high = max(from_id, segment.lo), min(to_id, segment.hi)
            # Where nothing is stored yet its time is not known: no minute before the segment is touched.
            begins = max(from_time, min(segment.lo_time, segment.covered_from))
            for first, last in between([*segment.gaps, *segment.holes], low, high):
                ends = max(begins, min(to_time, segment.hi_time))
                gap = Gap(first, last, begins, ends, Cause.LOST, False, first, clock)
                segment.gaps.insert(bisect_left(segment.gaps, first, key=first_id_of), gap)
                events.append(self._event(CoverageKind.GAP_OPENED, gap, clock))
        return events

    def close_segment(self, clock: int) -> list[CoverageEvent]:
        """The symbol was switched off: what follows is another segment."""
        segment = self.open_segment()
        self.pending_from = None
        return [] if segment is None else [self._ended(segment, clock, Ending.UNWATCHED, clock)]

    def _ended(self, segment: Segment, at: int, why: Ending, clock: int) -> CoverageEvent:
        segment.closed_at = at
        return CoverageEvent(
            CoverageKind.SEGMENT_CLOSED,
            self.symbol,
            segment.lo,
            segment.hi,
            segment.covered_from,
            at,
            why,
            clock,
            segment.name,
        )

    def _unique_name(self, clock: int) -> int:
        names = {segment.name for segment in self.segments}
        return clock if clock not in names else max(names) + 1

    def _opened(self, segment: Segment, cause: str, clock: int, quiet_to: int | None = None) -> CoverageEvent:
        return CoverageEvent(
            CoverageKind.SEGMENT_OPENED,
            self.symbol,
            segment.lo,
            None,
            segment.covered_from,
            quiet_to,
            cause,
            clock,
            segment.name,
        )

    def _event(self, kind: CoverageKind, gap: Gap, clock: int) -> CoverageEvent:
        return CoverageEvent(
            kind,
            self.symbol,
            gap.from_id,
            gap.to_id,
            gap.from_time,
            gap.to_time,
            gap.cause,
            clock,
            gap=gap.name,
            opened_at=gap.opened_at,
        )


_NOTHING: list[CoverageEvent] = []

__all__ = ["Holdings", "Verdict"]
