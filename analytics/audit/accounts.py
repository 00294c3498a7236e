"""The accounts of a day: which ids belong to it, segment by segment, and what is stored of them.

Ids and times rise together, so the day's ids are those from its first trade to before the next day's first trade.
Ids that are missing between two days belong to the earlier one; those before a segment's first stored trade to the
day on which the segment begins. So every id of a segment is in the account of exactly one day.
"""

from collections.abc import Iterator, Sequence

from analytics.audit import reads
from analytics.audit.findings import Check, Difference, Remedy
from analytics.audit.ids import Account, Ids, account, without
from analytics.audit.reads import Absent
from analytics.audit.standing import Known
from analytics.reading.stored import Span
from ingestion.pipeline.coverage import Segment
from markets.types import Interval


def accounts(known: Known, span: Span) -> tuple[list[Account], list[Difference]]:
    """The accounts of the segments, and what is wrong in them. ``span``: the day, or its closed part."""
    low, (after, after_time) = known.first_at(span.start)[0], known.first_at(span.end)
    made: list[Account] = []
    found: list[Difference] = []
    unstored = known.unstored()
    for segment in known.coverage.segments:
        ids = _ids_of(known, segment, span, Ids(low, after - 1))
        if ids is None:
            continue
        absent = reads.absent(known.symbol, ids, Span(segment.covered_from, max(after_time, segment.covered_from)))
        part = account(segment.name, ids, [Ids(*some[:2]) for some in absent], unstored, known.coverage)
        made.append(part)
        found += _differences(known.symbol, part, absent)
    found += _outside(known, Ids(low, after - 1))
    return made, found


def _ids_of(known: Known, segment: Segment, span: Span, day: Ids) -> Ids | None:
    """The ids of the segment that belong to the day; None without any."""
    lowest = segment.from_id if segment.from_id is not None else day.first
    highest = known.newest_id if segment.to_id is None else segment.to_id
    if highest < lowest or not _may_share(segment, Ids(lowest, highest), span, day):
        return None
    begins = _begins_on(known, segment, lowest, highest)
    if span.start < begins:
        return None
    first = lowest if span.start == begins else max(day.first, lowest)
    last = min(day.last, highest)
    return Ids(first, last) if first <= last else None


def _may_share(segment: Segment, ids: Ids, span: Span, day: Ids) -> bool:
    by_time = segment.covered_from < span.end and (segment.covered_to is None or segment.covered_to > span.start)
    return by_time or (ids.first <= day.last and ids.last >= day.first)


def _begins_on(known: Known, segment: Segment, lowest: int, highest: int) -> int:
    """The first moment of the UTC day on which the segment begins: its first trade may be older than its coverage."""
    times = [segment.covered_from]
    stored = reads.first_from(known.symbol, lowest)
    if stored is not None and stored[0] <= highest:
        times.append(stored[1])
    times += [time for trade_id, time in known.waiting.trades if lowest <= trade_id <= highest]
    return Interval.D1.open_of(min(times))


def _differences(symbol: str, part: Account, absent: Sequence[Absent]) -> Iterator[Difference]:
    for ids in part.lost:
        around = next(some for some in absent if some.first <= ids.first <= some.last)
        what = "neither stored nor known to be missing"
        yield _told(symbol, what, Remedy.REFETCH, ids, Span(around.from_time, around.to_time))
    for ids in part.surplus:
        yield _told(symbol, "stored, although said to be missing", Remedy.NONE, ids)


def _outside(known: Known, day: Ids) -> Iterator[Difference]:
    """Ids that are stored between the segments."""
    segments = known.coverage.segments
    covered = [
        Ids(segment.from_id, known.newest_id if segment.to_id is None else segment.to_id)
        for segment in segments
        if segment.from_id is not None
    ]
    for ids in without([day], covered) if covered and day.size > 0 else []:
        held = reads.held(known.symbol, ids)
        if held.first is not None and held.last is not None:
            what = f"{held.ids} ids are stored that lie in no covered span"
            yield _told(known.symbol, what, Remedy.NONE, Ids(held.first, held.last))


def _told(symbol: str, what: str, remedy: Remedy, ids: Ids, times: Span | None = None) -> Difference:
    start, end = times or (None, None)
    return Difference(Check.IDS, symbol, what, remedy, from_id=ids.first, to_id=ids.last, from_time=start, to_time=end)
