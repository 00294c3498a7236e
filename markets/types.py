"""Words that every part shares: exact numbers, time, intervals. No Django, no clock, no network.

Amounts are integers scaled by 10**8 (``SCALE``), because the exchange writes eight decimals and
because sums of integers are exact at every size. Times are UTC epoch milliseconds.
"""

import calendar
import datetime as dt
import re
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

SCALE = 10**8
SECOND_MS = 1_000
MINUTE_MS = 60_000
HOUR_MS = 3_600_000
DAY_MS = 86_400_000

# The exchange's weeks open on Monday and its 3-day candles one day after a multiple of three days
# since the epoch (a Thursday): BINANCE.md, A4.
_WEEK_OFFSET_MS = 4 * DAY_MS
_THREE_DAYS_OFFSET_MS = DAY_MS

# No exponents: an innocent-looking 1e999999 would fill the memory, and the exchange never writes one.
_PLAIN_NUMBER = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,30})?", re.ASCII)


class Interval(StrEnum):
    """A candle's width, spelled as the exchange spells it (case matters: 1m is not 1M)."""

    S1 = "1s"
    M1 = "1m"
    M3 = "3m"
    M5 = "5m"
    M15 = "15m"
    M30 = "30m"
    H1 = "1h"
    H2 = "2h"
    H4 = "4h"
    H6 = "6h"
    H8 = "8h"
    H12 = "12h"
    D1 = "1d"
    D3 = "3d"
    W1 = "1w"
    MO1 = "1M"

    @property
    def width_ms(self) -> int | None:
        """The fixed width in milliseconds; None for the calendar month."""
        return _WIDTHS.get(self)

    def open_of(self, time_ms: int) -> int:
        """The open time of the bucket that holds ``time_ms``; an edge opens the next bucket.

        >>> Interval.M1.open_of(119_999)
        60000
        """
        width = _WIDTHS.get(self)
        if width is None:
            return _month_open(time_ms, 0)
        return time_ms - (time_ms - _OFFSETS.get(self, 0)) % width

    def next_open(self, open_time: int) -> int:
        """The open time of the bucket after the one that opens at ``open_time``."""
        width = _WIDTHS.get(self)
        return _month_open(open_time, 1) if width is None else open_time + width

    def step_back(self, open_time: int, buckets: int) -> int:
        """The open time ``buckets`` buckets before ``open_time``."""
        width = _WIDTHS.get(self)
        return _month_open(open_time, -buckets) if width is None else open_time - buckets * width


_WIDTHS: dict[Interval, int] = {
    Interval.S1: SECOND_MS,
    Interval.M1: MINUTE_MS,
    Interval.M3: 3 * MINUTE_MS,
    Interval.M5: 5 * MINUTE_MS,
    Interval.M15: 15 * MINUTE_MS,
    Interval.M30: 30 * MINUTE_MS,
    Interval.H1: HOUR_MS,
    Interval.H2: 2 * HOUR_MS,
    Interval.H4: 4 * HOUR_MS,
    Interval.H6: 6 * HOUR_MS,
    Interval.H8: 8 * HOUR_MS,
    Interval.H12: 12 * HOUR_MS,
    Interval.D1: DAY_MS,
    Interval.D3: 3 * DAY_MS,
    Interval.W1: 7 * DAY_MS,
}
_OFFSETS = {Interval.W1: _WEEK_OFFSET_MS, Interval.D3: _THREE_DAYS_OFFSET_MS}


def _month_open(time_ms: int, shift: int) -> int:
    moment = dt.datetime.fromtimestamp(time_ms / 1000, tz=dt.UTC)
    months = moment.year * 12 + moment.month - 1 + shift
    year, month = divmod(months, 12)
    return calendar.timegm((year, month + 1, 1, 0, 0, 0)) * 1000


def to_scaled(text: str) -> int:
    """The integer scaled by 10**8 that a decimal text stands for; exact.

    Raises ValueError for a text that is no plain number or has more than eight decimals.

    >>> to_scaled("0.00000001"), to_scaled("42000.5")
    (1, 4200050000000)
    """
    # The exchange always writes eight decimals: take the dot out and read one integer.
    if len(text) > 9 and text[-9] == "." and text.isascii():
        digits = text[:-9] + text[-8:]
        if digits.isdigit():
            return int(digits)
    if not _PLAIN_NUMBER.fullmatch(text):
        raise ValueError(f"not a number: {text[:40]!r}")
    scaled = Decimal(text).scaleb(8)
    if scaled != scaled.to_integral_value():
        raise ValueError(f"not a number of at most eight decimals: {text[:40]!r}")
    return int(scaled)


def to_text(scaled: int) -> str:
    """The exact decimal text with eight decimals, as the exchange writes it.

    >>> to_text(4200050000000)
    '42000.50000000'
    """
    if scaled < 0:
        return "-" + to_text(-scaled)
    # Cutting the text is half as dear as dividing; every amount of every answer and record goes through here.
    digits = str(scaled) if scaled >= SCALE else f"{scaled:09d}"
    return f"{digits[:-8]}.{digits[-8:]}"


@dataclass(frozen=True, slots=True)
class Asset:
    """What a symbol trades: one unit of ``base`` is priced in ``quote``."""

    base: str
    quote: str
