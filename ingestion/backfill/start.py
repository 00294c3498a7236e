"""Where the holdings of a symbol are to begin, or why they cannot begin there."""

import datetime as dt
from collections.abc import Iterable
from typing import Final

from ingestion.backfill.tools import Archive, Refused, Rest
from ingestion.binance.archive_files import TRADES, candidates, date_of
from ingestion.binance.archive_lines import Line
from ingestion.binance.archive_rows import parse_trade
from ingestion.pipeline.parse import to_ms
from ingestion.pipeline.records import Rejected, Trade
from markets.types import DAY_MS

# Ids of a symbol begin at 0 or 1: before those there is nothing to be had.
_FIRST_IDS: Final = (0, 1)
# Where a row has its time.
_TIME: Final = 5


def first_trades_in(lines: Iterable[Line], symbol: str, from_ms: int) -> tuple[Trade | None, Trade | None]:
    """The last usable trade before ``from_ms``, and the first one from then on, by the rows of a file."""
    before = None
    for line in lines:
        time_ms = _time_of(line.text)
        if time_ms is not None and time_ms < from_ms:
            # A month may have millions of these: only the last one is read as a trade.
            before = line
        elif not isinstance(trade := parse_trade(line.text, symbol, 0), Rejected):
            return _trade_of(before, symbol), trade
    return _trade_of(before, symbol), None


def _time_of(text: bytes) -> int | None:
    fields = text.split(b",", _TIME + 1)
    return to_ms(int(fields[_TIME])) if len(fields) > _TIME and fields[_TIME].isdigit() else None


def _trade_of(line: Line | None, symbol: str) -> Trade | None:
    trade = None if line is None else parse_trade(line.text, symbol, 0)
    return trade if isinstance(trade, Trade) else None


def first_id_by_rest(rest: Rest, archive: Archive, symbol: str, from_ms: int, now_ms: int) -> int:
    """The same where the archive has no file of the first day. Raises Refused when REST does not reach so far."""
    rows = rest.agg_trades(symbol, end_time=from_ms - 1, limit=1)
    if rows:
        return rows[-1].trade_id
    rows = rest.agg_trades(symbol, start_time=from_ms, limit=1)
    if rows and rows[0].trade_id in _FIRST_IDS:
        return rows[0].trade_id
    raise Refused(_why(symbol, from_ms, first_day(archive, symbol, from_ms, now_ms), rows))


def first_day(archive: Archive, symbol: str, from_ms: int, now_ms: int) -> dt.date | None:
    """The first day after ``from_ms`` that the archive has; None when it has none.

    Days are there from the first one on, so a dozen questions find it among thousands.
    """
    low, high = from_ms // DAY_MS + 1, now_ms // DAY_MS
    if low >= high or not _has_any(archive, symbol, high - 1) and not _has_any(archive, symbol, high - 3):
        return None
    while low < high:
        middle = (low + high) // 2
        if _has_any(archive, symbol, middle):
            high = middle
        else:
            low = middle + 1
    return date_of(low * DAY_MS)


def _has_any(archive: Archive, symbol: str, day: int) -> bool:
    return any(archive.has(file) for file in candidates(symbol, TRADES, day * DAY_MS))


def _why(symbol: str, from_ms: int, first: dt.date | None, rows: list[Trade]) -> str:
    asked = date_of(from_ms)
    if first is not None:
        return (
            f"The archive has no trades of {symbol} from {asked}, and REST does not reach back so far. "
            f"The first day that can be had is {first}: begin there."
        )
    if rows:
        first = date_of(rows[0].trade_time)
        return f"The archive has no trades of {symbol}, and REST has them only from {first} on: begin there, or later."
    return f"Neither the archive nor REST has trades of {symbol} from {asked} on."
