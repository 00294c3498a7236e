"""What an audit may speak of: which minutes are closed, what is covered, and what is still on its way to the tables.

The log is read first and the tables after it, so whatever the log knew by then is stored or among what waits.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from analytics.audit import reads
from analytics.audit.findings import Skipped
from analytics.audit.ids import Ids, joined
from analytics.candles import store
from analytics.candles.store import CoverageBook, Positions
from analytics.sink import marks
from analytics.sink.marks import Minutes
from analytics.sink.selectors import sink_positions
from ingestion.log import codec, topics
from ingestion.log.port import Log, RangeGone, Stored, TopicPartition
from ingestion.pipeline.coverage import SymbolCoverage, apply_events
from ingestion.pipeline.records import CandleRecord, CoverageEvent, Enriched, Kline
from markets.types import DAY_MS, MINUTE_MS, Interval

# So many records that wait are read, a partition; beyond that the sink must catch up first.
_MOST_WAITING: Final = 300_000
_CHUNK: Final = 10_000
_READ: Final[Mapping[str, Callable[[bytes], Any]]] = {
    topics.ENRICHED_TRADES.name: codec.enriched,
    topics.CANDLES_1M.name: codec.candle,
    topics.COVERAGE.name: codec.coverage,
    topics.PRICES["1m"].name: codec.kline,
}


class Waiting(msgspec.Struct):
    """A symbol's records that the log holds and the sink has not stored: trades as (id, time), minutes that they
    touch, and changes of coverage."""

    trades: list[tuple[int, int]] = []
    minutes: set[int] = set()
    events: list[CoverageEvent] = []

    def take(self, record: Any) -> None:
        match record:
            case Enriched():
                self.trades.append((record.trade.trade_id, record.trade.trade_time))
                self.minutes.add(Interval.M1.open_of(record.trade.trade_time))
            case CandleRecord():
                self.minutes.add(record.candle.open_time)
            case Kline():
                self.minutes.add(record.open_time)
            case CoverageEvent():
                self.events.append(record)


class Known(msgspec.Struct, frozen=True):
    """Where a symbol stands. Every minute before ``closed_to`` is closed; ``newest_id`` is the newest id held;
    ``waiting`` as above, ``spans``: minutes that its changes of coverage will mark."""

    symbol: str
    closed_to: int
    newest_id: int
    newest_time: int
    coverage: SymbolCoverage
    waiting: Waiting
    spans: tuple[Minutes, ...] = ()

    def waits(self, open_time: int) -> bool:
        """True when something of the minute is still to be stored."""
        return open_time in self.waiting.minutes or any(span.first <= open_time <= span.last for span in self.spans)

    def unstored(self) -> list[Ids]:
        """The ids that are still to be stored."""
        return joined(Ids(trade_id, trade_id) for trade_id, _ in self.waiting.trades)

    def first_at(self, time_ms: int) -> tuple[int, int]:
        """The first id known at or after a time, and its time; past the newest one, where there is none."""
        stored = reads.first_at(self.symbol, time_ms)
        later = [item for item in self.waiting.trades if item[1] >= time_ms]
        return min([*later, *([stored] if stored else [])], default=(self.newest_id + 1, self.newest_time))


def known_of(log: Log, symbols: Iterable[str]) -> Iterator[Known | Skipped]:
    """Where each symbol stands, or why nothing can be said of it."""
    wanted = list(symbols)
    # In this order: what was closed then is in the log below the ends, and what is not stored is read from there.
    lives = {symbol: store.newest_live(log, symbol) for symbol in wanted}
    ends = _ends(log)
    stored = sink_positions()
    book, backlog = CoverageBook(), _Backlog(log, stored, ends, frozenset(wanted))
    for symbol in wanted:
        standing = lives[symbol] or store.standing(log, symbol)
        if standing is None or standing.closed_to is None:
            yield Skipped(symbol, "no minute of it has closed yet")
            continue
        try:
            waiting = backlog.of(symbol)
        except _Behind as behind:
            yield Skipped(symbol, str(behind))
            continue
        coverage = apply_events(book.of(log, symbol, stored), waiting.events)
        live = lives[symbol]
        newest, time = (None, None) if live is None else (live.last_trade_id, live.last_trade_time)
        if newest is None:
            newest = reads.newest_id(symbol)
        yield Known(
            symbol,
            standing.closed_to,
            max([newest if newest is not None else -1, *(trade_id for trade_id, _ in waiting.trades)]),
            max([time or 0, *(at for _, at in waiting.trades)]),
            coverage,
            waiting,
            tuple(marks.of_coverage(waiting.events)),
        )


class _Behind(Exception):
    """The sink is too far behind for an audit."""


class _Backlog:
    """What waits, by symbol; each partition is read once."""

    def __init__(
        self, log: Log, stored: Positions, ends: Mapping[TopicPartition, int], symbols: frozenset[str]
    ) -> None:
        self._log = log
        self._stored = stored
        self._ends = ends
        self._symbols = symbols
        self._read: dict[TopicPartition, dict[str, Waiting] | _Behind] = {}

    def of(self, symbol: str) -> Waiting:
        """What waits of the symbol. Raises _Behind."""
        whole = Waiting()
        for topic in _READ:
            place = TopicPartition(topic, self._log.partition_of(topic, symbol))
            if place not in self._read:
                self._read[place] = self._read_place(place)
            found = self._read[place]
            if isinstance(found, _Behind):
                raise found
            part = found.get(symbol)
            if part is not None:
                whole.trades += part.trades
                whole.minutes |= part.minutes
                whole.events += part.events
        return whole

    def _read_place(self, place: TopicPartition) -> dict[str, Waiting] | _Behind:
        start = self._stored.get(place, self._log.start_offset(*place))
        end = self._ends[place]
        if end - start > _MOST_WAITING:
            return _Behind(
                f"the sink is {end - start:,} records behind in {place.topic}: run the audit when it has stored them"
            )
        found: dict[str, Waiting] = {}
        try:
            for stored in self._records(place, start, end):
                record = _record(stored) if stored.key in self._symbols else None
                if record is not None:
                    found.setdefault(stored.key, Waiting()).take(record)
        except RangeGone:
            return _Behind(f"{place.topic} lost records before they were stored: the sink has to ask for them first")
        return found

    def _records(self, place: TopicPartition, start: int, end: int) -> Iterator[Stored]:
        for at in range(start, end, _CHUNK):
            yield from self._log.read_range(*place, at, min(end, at + _CHUNK))


def _record(stored: Stored) -> Any:
    try:
        return _READ[stored.topic](stored.value)
    except codec.Unreadable:
        # The sink will bury it: it never comes into a table.
        return None


def _ends(log: Log) -> dict[TopicPartition, int]:
    places = (TopicPartition(topic, number) for topic in _READ for number in range(log.partitions(topic)))
    return {place: log.end_offset(*place) for place in places}


def days_of(known: Known) -> list[int]:
    """The first moments of the UTC days that there is something to say of: with trades, or covered."""
    return sorted(covered_days(known) | {day for day in reads.days(known.symbol) if day < known.closed_to})


def covered_days(known: Known) -> set[int]:
    """The first moments of the UTC days that a segment reaches into."""
    found: set[int] = set()
    for segment in known.coverage.segments:
        end = known.closed_to if segment.covered_to is None else segment.covered_to
        first = Interval.D1.open_of(segment.covered_from)
        found.update(range(first, min(end, known.closed_to), DAY_MS))
    return found


def minutes_of(start: int, end: int) -> range:
    """The open times of the minutes in ``[start, end)``."""
    return range(start, end, MINUTE_MS)
