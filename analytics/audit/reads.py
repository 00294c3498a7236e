"""The audit's questions to ClickHouse: each answers one symbol and a part of one day."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from analytics.audit.findings import Reports
from analytics.audit.ids import Ids
from analytics.candles import store
from analytics.clickhouse.client import client
from analytics.clickhouse.sql import sql
from analytics.reading.stored import Span
from ingestion.pipeline.records import Candle, Kline, Trade
from markets.types import DAY_MS, MINUTE_MS, Interval

# So many trades are in memory at once, or those of one minute.
_AT_ONCE = 50_000


class Held(NamedTuple):
    """The stored ids of a range: how many, and the first and last with their times."""

    ids: int
    first: int | None
    last: int | None
    first_time: int
    last_time: int


class Absent(NamedTuple):
    """Ids that are not stored, between trades of these times."""

    first: int
    last: int
    from_time: int
    to_time: int


class Busy(NamedTuple):
    """A minute with trades: rows of the table, and trades in them."""

    open_time: int
    rows: int
    trades: int


class Changes(NamedTuple):
    """The newest record (``seq``) about a day that is stored: of its minutes, and of the ids next to its trades."""

    candles_seq: int = 0
    coverage_seq: int = 0


def symbols() -> list[str]:
    """Every symbol of which something was to be held."""
    return [row[0] for row in _ask("audit_symbols")]


def days(symbol: str) -> list[int]:
    """The first moments of the UTC days of which trades are stored."""
    return [row[0] * DAY_MS for row in _ask("audit_days", symbol=symbol)]


def changes(symbol: str, span: Span) -> dict[int, Changes]:
    """By the first moment of each UTC day of the span: what was stored of it last. Of other days nothing is stored."""
    return {row[0] * DAY_MS: Changes(*row[1:]) for row in _ask("audit_changes", symbol=symbol, **span._asdict())}


def first_at(symbol: str, time_ms: int) -> tuple[int, int] | None:
    """The first stored id at or after a time, and its time."""
    return next(iter(_ask("audit_first_id", symbol=symbol, time=time_ms)), None)


def first_from(symbol: str, trade_id: int) -> tuple[int, int] | None:
    """The first stored id at or above an id, and its time."""
    return next(iter(_ask("audit_next_id", symbol=symbol, from_id=trade_id)), None)


def newest_id(symbol: str) -> int | None:
    """The newest stored id."""
    [row] = _ask("audit_newest_id", symbol=symbol)
    newest: int | None = row[0]
    return newest


def held(symbol: str, ids: Ids) -> Held:
    """What is stored of a range of ids."""
    [row] = _ask("audit_ids", symbol=symbol, from_id=ids.first, to_id=ids.last)
    return Held(*row)


def absent(symbol: str, ids: Ids, span: Span) -> list[Absent]:
    """The ids of the range that are not stored; ``span``: the times before and after it."""
    found = held(symbol, ids)
    if found.first is None or found.last is None:
        return [Absent(*ids, *span)]
    missing: list[Absent] = []
    if found.first > ids.first:
        missing.append(Absent(ids.first, found.first - 1, span.start, found.first_time))
    if found.last - found.first + 1 > found.ids:
        rows = _ask("audit_jumps", symbol=symbol, from_id=found.first, to_id=found.last)
        missing += [Absent(*row) for row in rows]
    if found.last < ids.last:
        missing.append(Absent(found.last + 1, ids.last, found.last_time, span.end))
    return missing


def busy_minutes(symbol: str, span: Span) -> list[Busy]:
    """The minutes of the span in which trades are stored."""
    return [Busy(*row) for row in _ask("audit_minutes", symbol=symbol, **span._asdict())]


def trades(symbol: str, busy: Sequence[Busy]) -> Iterator[list[Trade]]:
    """The trades of whole minutes, in portions; ids taken back by the exchange included."""
    for portion in _portions(busy):
        yield store.trades(symbol, portion[0].open_time, portion[-1].open_time + MINUTE_MS)


def _portions(busy: Sequence[Busy]) -> Iterator[list[Busy]]:
    portion: list[Busy] = []
    count = 0
    for minute in busy:
        if portion and count + minute.trades > _AT_ONCE:
            yield portion
            portion, count = [], 0
        portion.append(minute)
        count += minute.trades
    if portion:
        yield portion


def candles(symbol: str, intervals: Sequence[Interval], span: Span) -> dict[tuple[Interval, int], Candle]:
    """Stored candles by interval and open time."""
    found = {}
    for interval, *figures in _ask("audit_candles", symbol=symbol, intervals=list(intervals), **span._asdict()):
        candle = Candle(symbol, interval, *figures)
        found[Interval(interval), candle.open_time] = candle
    return found


def klines(symbol: str, intervals: Sequence[Interval], span: Span) -> dict[tuple[Interval, int], Kline]:
    """The exchange's own closed candles by interval and open time."""
    found = {}
    for row in _ask("audit_klines", symbol=symbol, intervals=list(intervals), **span._asdict()):
        kline = Kline(symbol, row[0], *row[1:-2], True, *row[-2:])
        found[Interval(kline.interval), kline.open_time] = kline
    return found


def reports(symbol: str, intervals: Sequence[Interval], span: Span) -> list[Reports]:
    """Where reports of the exchange that are still stored do not say the same."""
    return [Reports(*row) for row in _ask("audit_reports", symbol=symbol, intervals=list(intervals), **span._asdict())]


def verdicts(symbol: str, span: Span) -> dict[tuple[int, int], str]:
    """The newest verdict on each revision of the minutes, by open time and revision."""
    return {(row[0], row[1]): row[2] for row in _ask("minute_verdicts", symbol=symbol, **span._asdict())}


def price_before(symbol: str, time_ms: int) -> int:
    """The price of the last trade before a time; 0 when none is held within a day."""
    return store.price_before(symbol, time_ms)


def _ask(question: str, **parameters: Any) -> Sequence[Any]:
    return client().query(sql(question), parameters=parameters).result_rows
