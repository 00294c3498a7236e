"""A day as the pipeline itself stores it: the processor's outputs, sunk, and everything about them agrees."""

import random
from collections.abc import Callable, Sequence

import pytest

from analytics.audit.findings import Day
from analytics.audit.walk import Wish, audit
from analytics.candles.rebuild import rebuild_dirty
from analytics.candles.rollup import roll_up_dirty
from analytics.candles.store import CoverageBook
from analytics.clickhouse.client import client
from analytics.models import Dirty
from analytics.sink.load import load
from analytics.sink.tables import ROUTES
from analytics.tests.samples import BTC, HOUR, MINUTE, TEN, kline_of, trade
from analytics.tests.stage import Stage
from ingestion.log import codec
from ingestion.log.topics import (
    CANDLES_1M,
    CANDLES_LIVE,
    COVERAGE,
    ENRICHED_TRADES,
    PRICES,
)
from ingestion.pipeline.process import Outputs, SymbolProcessor, SymbolState, condense
from ingestion.pipeline.records import Kline, RawRecord, Trade, Want
from ingestion.pipeline.window import empty_candle, fold, roll_up
from markets.types import SCALE, Asset, Interval

FIRST = 1_000
# Every 20 s a trade for two hours, but none in the seventh minute of each hour.
TRADES = [
    trade(FIRST + place, at, (100 + place % 7) * SCALE, is_buyer_maker=place % 3 == 0)
    for place, at in enumerate(at for at in range(TEN, TEN + 2 * HOUR, 20_000) if (at - TEN) // MINUTE % 60 != 7)
]
LAST = TRADES[-1].trade_id
MINUTES = fold(TRADES, Interval.M1)


class Pipeline:
    """The processor's pure part over the stage's log: what it makes of raw records is stored."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.state = SymbolState.new(BTC)
        self.book = CoverageBook()

    def take(self, records: Sequence[RawRecord]) -> "Pipeline":
        """Process the records and append what comes out; nothing is stored yet."""
        outputs = Outputs()
        processor = SymbolProcessor(self.state, Asset("BTC", "USDT"), outputs)
        for place, record in enumerate(records):
            processor.apply(place, record, b"", "test")
        log = self.stage.log
        for topic, made in (
            (ENRICHED_TRADES, [enriched for _, enriched in outputs.enriched]),
            (CANDLES_1M, outputs.candles),
            (PRICES["1m"], outputs.klines),
            (COVERAGE, condense(outputs.coverage)),
            (CANDLES_LIVE, [processor.live()]),
        ):
            log.append(topic.name, [codec.to_record(record) for record in made])
        return self

    def settle(self) -> "Pipeline":
        """Sink, rebuild and roll up until nothing waits."""
        for _ in range(5):
            self.sink()
            Dirty.objects.update(not_before=None)
            rebuild_dirty(self.stage.log, self.book)
            roll_up_dirty()
        return self.sink()

    def sink(self) -> "Pipeline":
        """Store everything that the log holds."""
        for topic in ROUTES:
            load(self.stage.log, topic, 0, max_rows=100_000, chance=random.Random(1))
        return self

    def days(self) -> list[Day]:
        return list(audit(self.stage.log, Wish()))

    def day(self) -> Day:
        """The one day that is stored."""
        [day] = self.days()
        return day


def minute_klines(trades: Sequence[Trade] = TRADES, end: int = TEN + 2 * HOUR) -> list[Kline]:
    """The exchange's minutes of all its trades, empty ones included."""
    made = {candle.open_time: candle for candle in fold(trades, Interval.M1)}
    return [kline_of(made.get(at) or empty_candle(BTC, Interval.M1, at, 100 * SCALE)) for at in range(TEN, end, MINUTE)]


def larger_klines(interval: Interval, trades: Sequence[Trade] = TRADES) -> list[Kline]:
    """The exchange's larger candles by REST."""
    return [
        kline_of(
            candle,
            close_time=interval.next_open(candle.open_time) - 1,
            first_fill_id=-1,
            last_fill_id=-1,
            source="rest",
        )
        for candle in roll_up(fold(trades, Interval.M1), interval)
    ]


def in_time(trades: Sequence[Trade], klines: Sequence[Kline]) -> list[RawRecord]:
    """Trades and klines in the order in which the exchange tells them."""
    told = [*((one.trade_time, one) for one in trades), *((one.event_time, one) for one in klines)]
    return [record for _, record in sorted(told, key=lambda item: item[0])]


WANT = Want(BTC, FIRST, TEN, "start", TEN)


@pytest.fixture
def pipeline(stage: Stage) -> Pipeline:
    return Pipeline(stage)


@pytest.fixture
def healthy(pipeline: Pipeline) -> Pipeline:
    """Two hours, every trade held, every minute certified, rolled up and settled."""
    return pipeline.take([WANT, *in_time(TRADES, minute_klines())]).settle()


@pytest.fixture
def tamper() -> Callable[[str], None]:
    """Change what is stored, as no part of the product does."""
    return lambda statement: client().command(f"{statement} SETTINGS mutations_sync = 1, lightweight_deletes_sync = 1")
