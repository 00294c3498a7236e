"""What the holdings are made of: segments, and the ranges of ids that are missing in them."""

from bisect import bisect_left
from collections.abc import Iterator
from enum import Enum

import msgspec
from msgspec.structs import replace


class Gap(msgspec.Struct, gc=False):
    """Missing ids ``from_id..to_id``; the times are those of the trades held next to them.

    ``proved``: a hole of which the exchange counts no trade either. ``name`` and ``opened_at``: of the gap that it was
    first, or is a part of (null: from before there were names).
    """

    from_id: int
    to_id: int
    from_time: int
    to_time: int
    cause: str
    proved: bool = False
    name: int | None = None
    opened_at: int | None = None

    def touches(self, from_ms: int, to_ms: int) -> bool:
        return self.from_time < to_ms and self.to_time >= from_ms


class Behind(msgspec.Struct):
    """The end was found to be behind the exchange: ids from ``name`` on were missing before anybody could know which.

    ``caught_up``: those up to here have come by REST.
    """

    name: int
    opened_at: int
    cause: str
    caught_up: int


class Segment(msgspec.Struct):
    """A covered span. ``hi`` is the newest id held (``lo - 1``: none yet); both ends are inclusive."""

    name: int
    lo: int
    hi: int
    hi_time: int
    hi_fill: int
    lo_time: int
    covered_from: int
    closed_at: int | None = None
    gaps: list[Gap] = []
    holes: list[Gap] = []

    @property
    def known_to(self) -> int:
        """Until when we know that nothing came: the newest trade, which may be older than the coverage."""
        return max(self.hi_time, self.covered_from)


class Verdict(Enum):
    """What became of an id."""

    NEW = "new"
    FILLED = "filled"
    DUPLICATE = "duplicate"
    BEFORE_COVERAGE = "before_coverage"


def part_of(gap: Gap, from_id: int, to_id: int, cause: str) -> Gap:
    """What the gap and ``from_id..to_id`` share, with the gap's times: no id between its neighbours is held."""
    return replace(gap, from_id=max(gap.from_id, from_id), to_id=min(gap.to_id, to_id), cause=cause)


def between(spans: list[Gap], low: int, high: int) -> Iterator[tuple[int, int]]:
    """The id ranges of ``low..high`` (inclusive) that lie in none of the spans."""
    for span in sorted(spans, key=first_id_of):
        if span.to_id < low or span.from_id > high:
            continue
        if span.from_id > low:
            yield low, span.from_id - 1
        low = span.to_id + 1
    if low <= high:
        yield low, high


def widen(lowest: Gap, below: list[Gap]) -> Gap:
    """Where a segment's first id was missing, its time had no bound below but the coverage: that lies earlier now."""
    lowest.from_time = min([lowest.from_time, *(gap.from_time for gap in below if gap.to_id == lowest.from_id - 1)])
    return lowest


def start_of(segment: Segment) -> int:
    """A time before which a missing id below the segment lies. Its first trade may be older than its coverage, and
    the empty minutes between the two belong to the gap: when that is filled, they get their candles."""
    return max(segment.lo_time, segment.covered_from - 1)


def touching(spans: list[Gap], from_ms: int, to_ms: int) -> list[Gap]:
    """The spans that touch the range of time. Ids and times rise together: what lies below a span that ended
    before the range, or above one that begins after it, cannot touch it."""
    start = end = bisect_left(spans, from_ms, key=lambda span: span.to_time)
    while end < len(spans) and spans[end].from_time < to_ms:
        end += 1
    return [span for span in spans[start:end] if span.touches(from_ms, to_ms)]


def first_id_of(gap: Gap) -> int:
    return gap.from_id


def find_span(spans: list[Gap], trade_id: int) -> int | None:
    index = bisect_left(spans, trade_id, key=lambda span: span.to_id)
    return index if index < len(spans) and spans[index].from_id <= trade_id else None
