"""Larger candles from closed minutes and the forming one. Pure: no clock, no I/O.

Everything is kept by open time, so taking a minute twice changes nothing: a seed that already holds what comes
next does no harm.
"""

from collections.abc import Iterable
from typing import Final

from analytics.reading.known import KnownCandle, join, newest, of_forming
from ingestion.pipeline.records import Candle
from markets.types import HOUR_MS, Interval

# So many buckets are kept apart: the open one, and those that closed last, whose verdicts are still to come.
_KEPT_BUCKETS: Final = 3
# A month of minutes would cost 40 MB: hours that lie this far back are kept as one part.
_KEEP_MINUTES_MS: Final = 2 * HOUR_MS


class Fold:
    """The newest buckets of one symbol and one interval above 1m."""

    def __init__(self, interval: Interval) -> None:
        self.interval = interval
        self.closed_to = 0
        self._buckets: dict[int, _Bucket] = {}

    def seed(self, closed_to: int, parts: Iterable[KnownCandle]) -> None:
        """Begin from the hours and minutes of the bucket that is open at ``closed_to``; again after a ``take``
        that answered an open bucket."""
        self.closed_to = max(self.closed_to, closed_to)
        for part in parts:
            self._bucket(self.interval.open_of(part.open_time)).seed(part)

    def take(self, minute: KnownCandle) -> int | None:
        """Take a closed minute or a new version of one. Answers the open time of its bucket when that must be
        read anew, because what is held cannot tell."""
        start = self.interval.open_of(minute.open_time)
        is_old = self._end(start) <= self.closed_to
        if is_old and start not in self._buckets:
            return start
        if self._bucket(start).take(minute):
            return None
        if is_old:
            del self._buckets[start]
        return start

    def close(self, closed_to: int) -> list[KnownCandle]:
        """Every minute before ``closed_to`` is closed: the buckets that are closed by it now, oldest first."""
        before, self.closed_to = self.closed_to, max(self.closed_to, closed_to)
        if self.interval.open_of(before) == self.interval.open_of(self.closed_to):
            return []
        ended = [start for start in sorted(self._buckets) if before < self._end(start) <= self.closed_to]
        closed = [whole for start in ended if (whole := self._buckets[start].told()) is not None]
        for start in sorted(self._buckets)[:-_KEPT_BUCKETS]:
            del self._buckets[start]
        return closed

    def revised(self) -> list[KnownCandle]:
        """The closed buckets that have changed since they were answered last, oldest first."""
        changed = [start for start in sorted(self._buckets) if self._buckets[start].is_news]
        ended = [self._buckets[start] for start in changed if self._end(start) <= self.closed_to]
        return [whole for bucket in ended if (whole := bucket.told()) is not None]

    def forming(self, running: Iterable[Candle]) -> list[KnownCandle]:
        """The buckets that are not closed, with the ``running`` minutes that are not closed yet, oldest first."""
        minutes: dict[int, list[Candle]] = {}
        for candle in running:
            start = self.interval.open_of(candle.open_time)
            if self._end(start) > self.closed_to:
                minutes.setdefault(start, []).append(candle)
        return [known for start in sorted(minutes) for known in self._with(start, minutes[start])]

    def _with(self, start: int, minutes: Iterable[Candle]) -> list[KnownCandle]:
        bucket = self._buckets.get(start) or _Bucket(self.interval)
        parts = [of_forming(candle) for candle in minutes if not bucket.holds(candle.open_time)]
        whole = bucket.whole()
        return join(parts if whole is None else [whole, *parts], self.interval)

    def _bucket(self, start: int) -> "_Bucket":
        if start not in self._buckets:
            self._buckets[start] = _Bucket(self.interval)
        return self._buckets[start]

    def _end(self, start: int) -> int:
        return self.interval.next_open(start)


class _Bucket:
    """The closed parts of one bucket, hours and minutes by open time, and their sum as long as it holds."""

    def __init__(self, interval: Interval) -> None:
        self._interval = interval
        self._parts: dict[int, KnownCandle] = {}
        self._whole: KnownCandle | None = None
        self._reached = 0
        self.is_news = False

    def seed(self, part: KnownCandle) -> None:
        self._whole = None
        if not _is_hour(part):
            self.take(part)
            return
        span = range(part.open_time, part.open_time + HOUR_MS)
        self._parts = {start: kept for start, kept in self._parts.items() if start not in span}
        self._parts[part.open_time] = part

    def holds(self, minute: int) -> bool:
        return minute in self._parts or self._is_in_hour(minute)

    def take(self, minute: KnownCandle) -> bool:
        """False when the minute is inside an hour that is kept as one."""
        if self._is_in_hour(minute.open_time):
            return False
        held = self._parts.get(minute.open_time)
        best = minute if held is None else newest((held, minute))[minute.open_time]
        if best != held:
            self.is_news = True
            self._parts[minute.open_time] = best
            self._sum(best, is_new=held is None)
        return True

    def _sum(self, part: KnownCandle, *, is_new: bool) -> None:
        if self._whole is None or not is_new or part.open_time <= self._reached:
            self._whole = None
            return
        self._whole = join((self._whole, part), self._interval)[0]
        self._reached = part.open_time

    def whole(self) -> KnownCandle | None:
        """All parts together; None while there is none."""
        if self._whole is None and self._parts:
            self._shrink()
            self._whole = join(self._parts.values(), self._interval)[0]
            self._reached = max(self._parts)
        return self._whole

    def told(self) -> KnownCandle | None:
        self.is_news = False
        return self.whole()

    def _is_in_hour(self, minute: int) -> bool:
        part = self._parts.get(Interval.H1.open_of(minute))
        return part is not None and _is_hour(part)

    def _shrink(self) -> None:
        last = Interval.H1.open_of(max(max(self._parts) - _KEEP_MINUTES_MS, 0))
        old = {start: part for start, part in self._parts.items() if start < last and not _is_hour(part)}
        if old:
            hours = {hour.open_time: hour for hour in join(old.values(), Interval.H1)}
            self._parts = {s: part for s, part in self._parts.items() if s not in old} | hours


def _is_hour(part: KnownCandle) -> bool:
    return part.candle.interval == Interval.H1.value
