"""Holes of which the exchange counts no trade either: every minute that one touches is certified. Pure.

A hole alone is doubt: ids that the exchange does not serve may still be trades. Where its own candles of all minutes in
question equal ours, and its fills go on across the hole without a jump, there is nothing missing.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from analytics.candles.judge import Version
from ingestion.pipeline.coverage import Span, SymbolCoverage, touching
from ingestion.pipeline.verdict import CERTIFIED
from markets.types import MINUTE_MS, Interval


class Run(NamedTuple):
    """Neighbouring ids that are holes and not proved, and the minutes (open times, both included) that they touch."""

    from_id: int
    to_id: int
    first_minute: int
    last_minute: int

    @property
    def minutes(self) -> range:
        return range(self.first_minute, self.last_minute + MINUTE_MS, MINUTE_MS)


def doubted(coverage: SymbolCoverage, minutes: Collection[int]) -> list[Run]:
    """The unproved holes that touch any of the minutes; those whose ids follow each other are one."""
    found = {span for at in minutes for span in touching(coverage.holes, at, at + MINUTE_MS) if not span.proved}
    if not found:
        return []
    wanted = {span.from_id for span in found}
    runs = _joined(span for span in coverage.holes if not span.proved)
    return [run for run in runs if any(run.from_id <= from_id <= run.to_id for from_id in wanted)]


def _joined(holes: Iterable[Span]) -> Iterator[Run]:
    run: Run | None = None
    for hole in holes:
        first, last = Interval.M1.open_of(hole.from_time), Interval.M1.open_of(hole.to_time)
        if run is not None and hole.from_id == run.to_id + 1:
            run = Run(run.from_id, hole.to_id, min(run.first_minute, first), max(run.last_minute, last))
            continue
        if run is not None:
            yield run
        run = Run(hole.from_id, hole.to_id, first, last)
    if run is not None:
        yield run


def are_certified(run: Run, versions: Mapping[int, Version]) -> bool:
    """True when each minute of the run was published and its newest version is certified."""
    found = (versions.get(at) for at in run.minutes)
    return all(version is not None and version.verdict == CERTIFIED for version in found)


def goes_on(fills: Sequence[int] | None) -> bool:
    """``fills``: the last fill held below the run and the first one above. The exchange numbers fills without gaps, so
    a jump is trades that were there, whatever the candles say (a recording that lost them lacks them in both)."""
    return fills is not None and fills[1] == fills[0] + 1
