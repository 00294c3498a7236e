"""The names of the files in the exchange's public archive. Pure."""

import datetime as dt
from dataclasses import dataclass

from markets.types import DAY_MS

TRADES = "aggTrades"
# The archive cannot tell 1M from 1m on every file system, so it writes the month differently.
_SPELLED = {"1M": "1mo"}


@dataclass(frozen=True, slots=True)
class ArchiveFile:
    """One file of the archive. ``data``: ``aggTrades`` or a kline interval; ``date``: the day, or the month's first."""

    symbol: str
    data: str
    date: dt.date
    is_monthly: bool = False

    @property
    def name(self) -> str:
        """``BTCUSDT-aggTrades-2024-01-31.zip``; no two files of the archive share it."""
        return f"{self.symbol}-{self._spelled}-{self.date:{'%Y-%m' if self.is_monthly else '%Y-%m-%d'}}.zip"

    @property
    def path(self) -> str:
        """Where it lies below the archive's address, without a slash before it."""
        period = "monthly" if self.is_monthly else "daily"
        folder = self.data if self.data == TRADES else "klines"
        below = self.symbol if self.data == TRADES else f"{self.symbol}/{self._spelled}"
        return f"data/spot/{period}/{folder}/{below}/{self.name}"

    @property
    def _spelled(self) -> str:
        return _SPELLED.get(self.data, self.data)


def candidates(symbol: str, data: str, day_ms: int) -> tuple[ArchiveFile, ArchiveFile]:
    """The files that may hold a day, the best first: months are known to disagree with the days and with REST.

    >>> [file.name for file in candidates("BTCUSDT", "1m", 1_706_659_200_000)]
    ['BTCUSDT-1m-2024-01-31.zip', 'BTCUSDT-1m-2024-01.zip']
    """
    day = date_of(day_ms)
    return ArchiveFile(symbol, data, day), ArchiveFile(symbol, data, day.replace(day=1), is_monthly=True)


def date_of(time_ms: int) -> dt.date:
    """The UTC day of a time."""
    return dt.date(1970, 1, 1) + dt.timedelta(days=time_ms // DAY_MS)


def start_of(day: dt.date) -> int:
    """When the day begins, epoch ms."""
    return (day - dt.date(1970, 1, 1)).days * DAY_MS
