"""Stream names, and when each kline stream has something to say.

A kline is pushed every two seconds of the feed's clock (one for ``1s``) at a phase of its own, also without
trades; its last frame comes once, shortly after the boundary and always before the next push.
"""

import re
import zlib
from dataclasses import dataclass
from typing import NamedTuple

from markets.types import HOUR_MS, SECOND_MS, Interval

MALFORMED = re.compile(r"[^\w!@.:+\-]|^$")
_STREAM = re.compile(r"([^@]+)@(aggTrade|trade|kline_(\w+?)(@\+08:00)?)")
_INTERVALS = {interval.value: interval for interval in Interval}


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream this exchange can fill. ``interval`` is None but for klines."""

    name: str
    symbol: str
    kind: str
    interval: Interval | None = None
    offset_ms: int = 0


class Push(NamedTuple):
    """A kline frame is due: the running one, or (``closes``) the last of the bucket."""

    due: int
    open_time: int
    closes: bool


def parse_stream(name: str) -> Stream | None:
    """The stream of that name; None for one that stays silent for ever (as the exchange does)."""
    found = _STREAM.fullmatch(name)
    if found is None or found[1] != found[1].lower():
        return None
    symbol = found[1].upper()
    if found[3] is None:
        return Stream(name, symbol, found[2])
    interval = _INTERVALS.get(found[3])
    if interval is None:
        return None
    return Stream(name, symbol, "kline", interval, 8 * HOUR_MS if found[4] else 0)


class KlineCalendar:
    """When the frames of one kline stream are due; a function of the stream's name alone."""

    def __init__(self, stream: Stream) -> None:
        assert stream.interval is not None
        self._interval, self._offset = stream.interval, stream.offset_ms
        seconds = stream.interval is Interval.S1
        chance = zlib.crc32(stream.name.encode())
        self._every = SECOND_MS if seconds else 2 * SECOND_MS
        self._phase = 500 + chance % (400 if seconds else 1400)
        self.close_delay_ms = 1 + chance % 5 if seconds else 20 + chance % 400

    def open_of(self, time_ms: int) -> int:
        return self._interval.open_of(time_ms + self._offset) - self._offset

    def next_open(self, open_time: int) -> int:
        return self._interval.next_open(open_time + self._offset) - self._offset

    def after(self, time_ms: int) -> Push:
        """The first frame that is due after ``time_ms``."""
        tick = time_ms - (time_ms - self._phase) % self._every + self._every
        closing = self.open_of(time_ms - self.close_delay_ms)
        boundary = self.next_open(closing)
        due = boundary + self.close_delay_ms
        if due <= tick:
            return Push(due, closing, closes=True)
        return Push(tick, self.open_of(tick), closes=False)
