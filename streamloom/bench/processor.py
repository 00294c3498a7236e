"""The processor end to end on the sqlite log: raw records to enriched trades and candles, committed."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from ingestion.log import codec
from ingestion.log.port import Log, Record, Stored, TopicPartition
from ingestion.log.sqlite import SqliteLog
from ingestion.log.topics import CANDLES_1M, ENRICHED_TRADES, GROUP_PROCESS, RAW_TRADES
from ingestion.process.role import ProcessTrades
from markets.types import MINUTE_MS
from streamloom.bench import naive, views
from streamloom.bench.contest import Case, Contestant
from streamloom.bench.material import Material

_RAW: Final = TopicPartition(RAW_TRADES.name, 0)
# The naive one closes a minute when the clock is so far past its end, and commits every so many records.
_GRACE_MS: Final = 3_000
_COMMIT_EVERY: Final = 2_000


def cases(material: Material) -> Iterator[Case]:
    yield Case(
        "process: raw to enriched and candles",
        len(material.records),
        "trade",
        Contestant(lambda log: NaiveProcessor(log, material).run(), _naive_view, lambda: filled_log(material)),
        Contestant(lambda log: _run_role(log, material), _fast_view, lambda: filled_log(material)),
    )


@contextmanager
def filled_log(material: Material) -> Iterator[Log]:
    """A log of its own that holds the material's records."""
    with tempfile.TemporaryDirectory(prefix="streamloom-bench-") as folder:
        log = SqliteLog(Path(folder) / "log.db", max_backlog=len(material.records) + 1)
        try:
            pairs = zip(material.trades, material.records, strict=True)
            log.append(RAW_TRADES.name, [Record(trade.symbol, value) for trade, value in pairs])
            yield log
        finally:
            log.close()


def _run_role(log: Log, material: Material) -> None:
    role = ProcessTrades(log, lambda: material.assets)
    while log.position(GROUP_PROCESS, *_RAW) < log.end_offset(*_RAW):
        role.step()
    role.drain()


class NaiveProcessor:
    """Polls one message, calls back, and commits every two thousand messages."""

    def __init__(self, log: Log, material: Material) -> None:
        self._log, self._assets = log, material.assets
        self._windows = naive.Windows()
        self._clocks: dict[str, int] = {}
        self._open: dict[str, set[int]] = {}
        self._outputs: list[tuple[str, Record]] = []

    def run(self) -> None:
        reader = self._log.reader(GROUP_PROCESS, [RAW_TRADES.name])
        passed = 0
        while records := reader.poll(1, 0.0).records:
            self._on_message(records[0])
            passed = records[0].offset + 1
            if passed % _COMMIT_EVERY == 0:
                self._commit(reader, passed)
        self._commit(reader, passed)
        reader.close()

    def _commit(self, reader: Any, passed: int) -> None:
        self._log.commit(reader, self._outputs, {}, {_RAW: passed})
        self._outputs = []

    def _on_message(self, stored: Stored) -> None:
        trade = naive.decode(stored.value)
        if not self._windows.on_trade(trade):
            return
        symbol = trade["symbol"]
        clock = max(self._clocks.get(symbol, 0), trade["event_time"], trade["trade_time"])
        self._clocks[symbol] = clock
        asset = self._assets[symbol]
        self._put(ENRICHED_TRADES.name, symbol, naive.enrich(trade, asset.base, asset.quote, clock))
        self._open.setdefault(symbol, set()).add(trade["trade_time"] // MINUTE_MS * MINUTE_MS)
        for open_time in sorted(self._open[symbol]):
            if clock >= open_time + MINUTE_MS + _GRACE_MS:
                self._open[symbol].discard(open_time)
                candle = self._windows.candles[symbol, open_time]
                self._put(CANDLES_1M.name, symbol, {"symbol": symbol, "open_time": open_time, **candle})

    def _put(self, topic: str, symbol: str, fields: dict[str, Any]) -> None:
        self._outputs.append((topic, Record(symbol, naive.encode(fields))))


def _values(log: Log, topic: str) -> list[bytes]:
    return [stored.value for stored in log.read_range(topic, 0, 0, log.end_offset(topic, 0))]


def _naive_view(log: Log, _: Any) -> list[Any]:
    enriched = [naive.decode(value) for value in _values(log, ENRICHED_TRADES.name)]
    candles = {(made["symbol"], made["open_time"]): made for made in map(naive.decode, _values(log, CANDLES_1M.name))}
    return _view([views.of_naive_enriched(fields) for fields in enriched], views.of_naive_candles(candles), enriched)


def _fast_view(log: Log, _: Any) -> list[Any]:
    values = _values(log, ENRICHED_TRADES.name)
    enriched = [views.of_enriched(codec.enriched(value)) for value in values]
    candles = views.of_candles(codec.candle(value).candle for value in _values(log, CANDLES_1M.name))
    return _view(enriched, candles, [naive.decode(value) for value in values])


def _view(enriched: list[Any], candles: list[Any], fields: list[dict[str, Any]]) -> list[Any]:
    """The trades by id (the order between symbols is nobody's promise), and the candles that both must have closed.

    The product closes a minute as soon as the next id is past it, the naive one three seconds later.
    """
    clocks: dict[str, int] = {}
    for made in fields:
        clocks[made["symbol"]] = max(clocks.get(made["symbol"], 0), made["known_at"])
    closed = [candle for candle in candles if candle[1] + MINUTE_MS + _GRACE_MS <= clocks[candle[0]]]
    return sorted(enriched, key=lambda item: item[2:4]) + closed
