"""A processor that takes records one by one, and all that came out of it."""

from ingestion.pipeline.process import Outputs, SymbolProcessor, SymbolState, dump_state, load_state
from ingestion.pipeline.records import Want
from ingestion.tests.pipeline.factories import START
from markets.types import Asset

ASSET = Asset("BTC", "USDT")
WANT = Want("BTCUSDT", 1, START, "start", START)


class Run:
    """A processor and everything that came out of it so far."""

    def __init__(self, *records, symbol="BTCUSDT"):
        self.out = Outputs()
        self.processor = SymbolProcessor(SymbolState.new(symbol), ASSET, self.out)
        self.take(*records)

    def take(self, *records):
        for index, record in enumerate(records):
            self.processor.apply(index, record, b"bytes", "raw_trades/0/7")
        return self

    def commit(self):
        """What came out so far is published: collect anew."""
        self.out = Outputs()
        self.processor = SymbolProcessor(self.processor.state, ASSET, self.out)
        return self

    def restart(self):
        """Go on from the stored state, as after a crash."""
        state = load_state(dump_state(self.processor.state))
        self.processor = SymbolProcessor(state, ASSET, self.out)

    def states(self):
        return [
            (record.candle.open_time - START, record.state, record.reason, record.candle.revision)
            for record in self.out.candles
        ]
