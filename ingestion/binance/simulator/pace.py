"""The feed's clock: how far the streams may go, and what time the exchange says it is."""

from collections.abc import Callable
from typing import Protocol

from markets.types import DAY_MS

# After a recording's last row klines go on to the end of its day, so that its last buckets close.
AFTERGLOW_MS = 5_000

Seconds = Callable[[], float]


class Pace(Protocol):
    """Drives the pump. Times are feed time in epoch milliseconds."""

    waits_for_readers: bool
    needs_readers: bool

    def now(self) -> int:
        """The exchange's time: what ``/api/v3/time`` says and what REST may serve."""

    def target(self) -> int:
        """How far the streams may go now."""

    def reach(self, time_ms: int) -> None:
        """The streams have come so far."""

    def begin(self) -> None:
        """The first reader has come."""

    def seconds_until(self, time_ms: int) -> float:
        """How long to sleep until then; at least 0."""


class LivePace:
    """A clock that nobody holds up: the machine's, or ``start_ms`` moving at ``speed``."""

    waits_for_readers = False
    needs_readers = False

    def __init__(self, *, wall: Seconds, steady: Seconds, speed: float, start_ms: int | None) -> None:
        self._wall, self._steady, self._speed = wall, steady, speed
        self._follows_machine = start_ms is None and speed == 1
        self._start = int(wall() * 1000) if start_ms is None else start_ms
        self._began = steady()

    def now(self) -> int:
        if self._follows_machine:
            return int(self._wall() * 1000)
        return self._start + int((self._steady() - self._began) * self._speed * 1000)

    def target(self) -> int:
        return self.now()

    def reach(self, time_ms: int) -> None:
        """Nothing: this clock moves by itself."""

    def begin(self) -> None:
        """Nothing: this clock runs from the start."""

    def seconds_until(self, time_ms: int) -> float:
        return max(0.0, (time_ms - self.now()) / (1000 * self._speed))


class ReplayPace:
    """A clock that stands where the streams are: it starts when asked and its readers hold it up.

    ``speed`` 0: no faster than the readers, no slower. ``last_ms`` None: the market never ends.
    """

    waits_for_readers = True

    def __init__(
        self,
        first_ms: int,
        last_ms: int | None,
        *,
        speed: float,
        steady: Seconds,
        begin_now: bool,
        delay_s: float = 0.0,
    ) -> None:
        self._origin = self._reached = first_ms - 1
        self._end = None if last_ms is None else _end_of_day(last_ms) + AFTERGLOW_MS
        self._speed, self._steady, self._delay = speed, steady, delay_s
        self.needs_readers = speed == 0
        self._began: float | None = steady() if begin_now else None

    def now(self) -> int:
        return self._reached

    def target(self) -> int:
        if self._began is None:
            return self._reached
        elapsed = self._steady() - self._began - self._delay
        if elapsed < 0:
            return self._reached
        if self._speed == 0:
            return self._reached + DAY_MS if self._end is None else self._end
        target = self._origin + int(elapsed * self._speed * 1000)
        return target if self._end is None else min(target, self._end)

    def reach(self, time_ms: int) -> None:
        self._reached = time_ms

    def begin(self) -> None:
        if self._began is None:
            self._began = self._steady()

    def seconds_until(self, time_ms: int) -> float:
        if self._began is None or (self._end is not None and self._reached >= self._end):
            return 3600.0
        wait = self._began + self._delay - self._steady()
        if self._speed:
            wait += (time_ms - self._origin) / (1000 * self._speed)
        return max(0.0, wait)


def _end_of_day(time_ms: int) -> int:
    return (time_ms // DAY_MS + 1) * DAY_MS
