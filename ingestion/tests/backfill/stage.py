"""A backfill's world: the simulated exchange with its archive, the real log, processor and repair."""

import datetime as dt
import random
import time
from contextlib import contextmanager
from pathlib import Path

from ingestion.backfill import store
from ingestion.backfill.tools import Tools
from ingestion.backfill.work import run_slice
from ingestion.binance.archive import BinanceArchive
from ingestion.binance.rest import BinanceRest
from ingestion.binance.simulator.server import SimulatedExchange, SimulatorConfig
from ingestion.log import codec
from ingestion.log.sqlite import SqliteLog
from ingestion.log.topics import COVERAGE, DEAD_LETTERS, ENRICHED_TRADES, PRICES, RAW_TRADES
from ingestion.pipeline.coverage import fold_events
from ingestion.pipeline.records import Want
from ingestion.process.role import ProcessTrades
from ingestion.repair.role import RepairGaps
from ingestion.repair.work import Policy
from markets.models import Symbol
from markets.types import DAY_MS, HOUR_MS, MINUTE_MS, Asset

# 2025-01-01 UTC: the archive's times turn to microseconds, so two days of history have both.
NEW_YEAR = 1_735_689_600_000
NOW = NEW_YEAR + DAY_MS + 2 * HOUR_MS
FIRST = NEW_YEAR - DAY_MS
# Two trades in three minutes: a day is a thousand.
SYMBOL = "DOTUSDT"
SOON_S = 60.0


@contextmanager
def exchange(**fields):
    """The exchange two hours after the end of 2025-01-01. It stands still nearly enough."""
    with SimulatedExchange(SimulatorConfig(start_ms=NOW, weight_limit=1_000_000, **fields)).start() as running:
        yield running


def moment(time_ms):
    return dt.datetime.fromtimestamp(time_ms / 1000, dt.UTC)


class World:
    """``symbol`` has started an hour ago, and the processor has taken the trades since then."""

    def __init__(self, running, folder: Path, symbol: str = SYMBOL, *, started: bool = True) -> None:
        self.exchange, self.folder, self.symbol = running, folder, symbol
        self.book = running._books[symbol]
        Symbol.objects.get_or_create(symbol=symbol, defaults={"base": "A", "quote": "B", "trades_enabled": True})
        self.open()
        if started:
            self.start()

    def open(self) -> None:
        """Also after a kill: everything that is not on disk is new."""
        self.log = SqliteLog(self.folder / "log.db")
        self.processor = ProcessTrades(self.log, lambda: {self.symbol: Asset("A", "B")})
        self.repair = RepairGaps(
            self.log,
            BinanceRest(self.exchange.rest_url),
            Policy(first_wait_s=0.0, confirm_s=(0.05, 0.05, 0.05), archive_wait_s=0.0),
        )
        self.tools = Tools(
            self.log,
            BinanceArchive(self.exchange.rest_url),
            BinanceRest(self.exchange.rest_url),
            self.folder / "archive",
            pause=lambda _: self.processor.step(),
            rng=random.Random(1),
        )

    def start(self) -> None:
        """As ingest does it: a want, then the live trades."""
        minute = NOW - HOUR_MS
        begins, now = self.book.place_at(minute) - 1, self.book.place_at(NOW)
        rows = self.tools.rest.agg_trades(self.symbol, from_id=self.book.rows(begins, begins + 1)[0].trade_id)
        rows = [row for row in rows if row.trade_time < NOW]
        assert now - begins == len(rows)
        want = Want(self.symbol, rows[0].trade_id, minute, "start", NOW)
        self.log.append(RAW_TRADES.name, [codec.to_record(item) for item in (want, *rows)])
        self.process()

    def process(self) -> None:
        """Let the processor take everything that waits."""
        place = RAW_TRADES.name, 0
        while self.log.position("process_trades", *place) < self.log.end_offset(*place):
            self.processor.step()

    def ask(self, from_ms=FIRST, to_ms=None, **fields):
        return store.queue(self.symbol, moment(from_ms), None if to_ms is None else moment(to_ms), **fields)

    def slice(self, row, budget_s=30.0):
        """One slice of work; None when it was not due."""
        leased = store.take(row.pk)
        if leased is not None:
            run_slice(self.tools, leased, budget_s)
            self.process()
        row.refresh_from_db()
        return leased

    def work(self, row):
        """Slices until it is over; waits for nothing."""
        deadline = time.monotonic() + SOON_S
        while not row.is_over:
            assert time.monotonic() < deadline, (row.state, row.note, row.error)
            store.break_leases()
            self.slice(row)
        self.process()
        return row

    def mend(self):
        """Turn the repair until nothing is missing."""
        deadline = time.monotonic() + SOON_S
        while self.coverage().gaps:
            assert time.monotonic() < deadline, self.coverage().gaps
            self.repair.step()
            self.process()

    def coverage(self):
        return fold_events(codec.coverage(record.value) for record in self.records(COVERAGE.name))

    def records(self, topic):
        return self.log.read_range(topic, 0, 0, self.log.end_offset(topic, 0))

    def ids(self):
        """The ids of all trades that were taken, in the order in which they were."""
        return [codec.enriched(record.value).trade.trade_id for record in self.records(ENRICHED_TRADES.name)]

    def sources(self):
        found = {}
        for record in self.records(ENRICHED_TRADES.name):
            trade = codec.enriched(record.value).trade
            found.setdefault(trade.source, []).append(trade)
        return found

    def klines(self, interval):
        return [codec.kline(record.value) for record in self.records(PRICES[interval].name)]

    def letters(self):
        return [codec.dead_letter(record.value) for record in self.records(DEAD_LETTERS.name)]

    def expected_ids(self, from_ms, to_ms=NOW):
        return [row.trade_id for row in self.book.rows(self.book.place_at(from_ms), self.book.place_at(to_ms))]

    def wanted_ids(self, from_ms):
        """The same to now, with the trade before, which gives the price of the first minute if that is empty."""
        first, *rest = self.expected_ids(from_ms)
        return [first - 1, first, *rest]

    def close(self) -> None:
        self.log.close()


def klines_asked(world, interval, from_ms, to_ms):
    """What the exchange itself says by REST, page by page."""
    rows = []
    while from_ms < to_ms:
        page = world.tools.rest.klines(world.symbol, interval, start_time=from_ms, end_time=to_ms - 1)
        rows += page
        from_ms = page[-1].close_time + 1
    return rows


__all__ = [
    "DAY_MS", "FIRST", "HOUR_MS", "MINUTE_MS", "NEW_YEAR", "NOW", "SYMBOL",
    "World", "exchange", "klines_asked", "moment",
]  # fmt: skip
