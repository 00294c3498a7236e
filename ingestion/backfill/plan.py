"""Which ids are missing, and which files may hold them. Pure."""

from bisect import bisect_left
from typing import Final, NamedTuple

import msgspec

from ingestion.binance.archive_files import TRADES
from ingestion.pipeline.coverage import SymbolCoverage, touching
from markets.types import DAY_MS

_LAST_ID: Final = 2**63 - 1
INTERVALS: Final = ("1m", "15m", "1h", "1d")
SECONDS: Final = "1s"


class Needed(msgspec.Struct, frozen=True, array_like=True):
    """Ids ``from_id..to_id`` (inclusive) that are not held; they were traded between the two times (inclusive)."""

    from_id: int
    to_id: int
    from_time: int
    to_time: int


class Step(NamedTuple):
    """One file's worth of work: the data set (``aggTrades`` or an interval) of one day."""

    data: str
    day: int


class Plan(msgspec.Struct, frozen=True):
    """What a backfill does, decided when it begins. ``[from_ms, to_ms)`` is the time it is about.

    ``needed``: the trades to bring, ascending. ``feed_time``: the symbol's clock then. ``over_at``: the exchange's
    clock then: days that were not over have no files. ``day_before``: the first id to bring was traded the day before.
    """

    from_ms: int
    to_ms: int
    intervals: tuple[str, ...]
    needed: tuple[Needed, ...]
    feed_time: int
    over_at: int
    day_before: bool = False

    @property
    def data_sets(self) -> tuple[str, ...]:
        """In the order of a day: its klines first, so that its candles can be certified as soon as they are made."""
        return (*self.intervals, TRADES) if self.needed else self.intervals

    @property
    def steps(self) -> int:
        """How many there are."""
        if self.to_ms <= self.from_ms:
            return 0
        return (-(-self.to_ms // DAY_MS) - self._first_day) * len(self.data_sets)

    @property
    def _first_day(self) -> int:
        return self.from_ms // DAY_MS - self.day_before

    def step(self, number: int) -> Step:
        """The step with that number, from 0: day by day, the oldest first."""
        day, place = divmod(number, len(self.data_sets))
        return Step(self.data_sets[place], (self._first_day + day) * DAY_MS)

    def is_over(self, step: Step) -> bool:
        """True when the archive may have the step's day."""
        return step.day + DAY_MS <= self.over_at

    def wants(self, step: Step) -> bool:
        """False when all trades of the day are held, and for the klines of the day before."""
        if step.data != TRADES:
            return step.day + DAY_MS > self.from_ms
        return any(ids.from_time < step.day + DAY_MS and ids.to_time >= step.day for ids in self.needed)

    def needs(self, trade_id: int) -> bool:
        """True when the id is one of those to bring."""
        place = bisect_left(self.needed, trade_id, key=lambda ids: ids.to_id)
        return place < len(self.needed) and self.needed[place].from_id <= trade_id


def needed_ids(
    coverage: SymbolCoverage, is_whole: bool, first_id: int | None, from_ms: int, to_ms: int
) -> tuple[Needed, ...]:
    """The ids to bring for ``[from_ms, to_ms)``, ascending and disjoint.

    ``first_id``: where the holdings are to begin now; None when they begin earlier already. ``is_whole``: the coverage
    is known from the beginning. Else everything is brought: what is held already is dropped by the processor.
    """
    if not is_whole or not coverage.segments:
        return (Needed(first_id or 0, _LAST_ID, from_ms, to_ms),)
    segment = coverage.segments[-1]
    lowest = segment.from_id
    below: list[Needed] = []
    if first_id is not None and lowest is not None and first_id < lowest:
        below = [Needed(first_id, lowest - 1, from_ms, max(segment.covered_from, from_ms))]
    floor = below[-1].to_id if below else -1
    gaps = [gap for gap in touching(coverage.gaps, from_ms, to_ms) if gap.to_id > floor]
    return (
        *below,
        *(Needed(max(gap.from_id, floor + 1), gap.to_id, gap.from_time, gap.to_time) for gap in gaps),
    )
