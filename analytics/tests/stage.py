"""A stage for tests of reading: a log, the sink, and a tail that reads when it is told to."""

import random
from collections.abc import Mapping

from analytics.reading.sources import coverage_before
from analytics.reading.tail import LogTail, close_tail, use_tail
from analytics.sink.load import load
from analytics.sink.selectors import sink_positions
from analytics.tests.samples import put
from ingestion.log.port import Log
from ingestion.log.topics import CANDLES_1M, COVERAGE, ENRICHED_TRADES, PRICES

STORED = (ENRICHED_TRADES.name, CANDLES_1M.name, COVERAGE.name, *(topic.name for topic in PRICES.values()))


class Stage:
    """What a web process sees of a log. ``tell`` appends and lets the tail read; ``sink`` stores."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.tail = LogTail(log, self.positions, coverage_before)
        use_tail(self.tail)

    @staticmethod
    def positions() -> Mapping[tuple[str, int], int]:
        return sink_positions()

    @property
    def view(self):
        return self.tail.view

    def tell(self, *items) -> "Stage":
        """Append the records, each to its topic; the tail has read them on return."""
        put(self.log, *items)
        self.tail.catch_up()
        return self

    def sink(self) -> "Stage":
        """Store everything that the log holds, as the sink does."""
        for topic in STORED:
            load(self.log, topic, 0, max_rows=100_000, chance=random.Random(1))
        self.tail.catch_up()
        return self

    def close(self) -> None:
        close_tail()
