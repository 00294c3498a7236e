"""Raw frames of the streams, in the order in which they came: the exchange's running candles beside our fold."""

from itertools import pairwise

from ingestion.pipeline.records import Kline, Trade
from ingestion.pipeline.window import fold
from ingestion.tests.recorded.files import frames
from markets.types import Interval

RECORDING = "BINANCE-ee25be.0.gz"
# 20:03 of 2021-04-04; the recording begins eleven seconds into it.
CUT_MINUTE = 1_617_566_580_000
SUMS = ("volume", "quote_volume", "taker_buy_volume", "taker_buy_quote_volume", "trades")


def of_symbol(symbol, kind):
    return [item for item in frames(RECORDING) if isinstance(item, kind) and item.symbol == symbol]


def stepped(kline, trades, last):
    """The running candle moved on to fill ``last`` by the trades after its own last fill."""
    [part] = fold([t for t in trades if kline.last_fill_id < t.first_id and t.last_id <= last], Interval.M1)
    sums = {name: getattr(kline, name) + getattr(part, name) for name in SUMS}
    prices = {"open": kline.open, "high": max(kline.high, part.high), "low": min(kline.low, part.low)}
    return sums | prices | {"close": part.close}, part


def test_closed_candles_of_a_minute_that_began_unheard_are_reached_step_by_step():
    """Fact: a running kline and the fills after its last one give the next kline, and in the end the closed one,
    exactly: v q V Q n are sums, h and l extremes, c the last fill's price. The three closed candles of 20:03."""
    closed = 0
    for symbol in ("BTCUSDT", "ETHUSDT", "DOTUSDT"):
        trades = [trade for trade in of_symbol(symbol, Trade) if Interval.M1.open_of(trade.trade_time) == CUT_MINUTE]
        edges = {trade.first_id for trade in trades}
        reports = [kline for kline in of_symbol(symbol, Kline) if kline.open_time == CUT_MINUTE]
        # A frame may stand inside a trade of several fills, from where no whole trade goes on.
        whole = [kline for kline in reports if kline.last_fill_id + 1 in edges or kline.closed]
        for one, two in pairwise(whole):
            if one.last_fill_id == two.last_fill_id:
                assert (one.volume, one.close) == (two.volume, two.close)
                continue
            reached, _ = stepped(one, trades, two.last_fill_id)
            assert reached == {name: getattr(two, name) for name in reached}
        assert whole[-1].closed
        assert len(whole) > 5
        closed += 1
    assert closed == 3


def test_a_closed_frame_names_the_fills_of_its_minute():
    """Fact: f and L of a kline are the first and last fill of the minute, n = L - f + 1; no fill is in two minutes."""
    for symbol in ("BTCUSDT", "ETHUSDT", "DOTUSDT"):
        trades = of_symbol(symbol, Trade)
        before, *_ = [kline for kline in of_symbol(symbol, Kline) if kline.closed]
        after = next(kline for kline in of_symbol(symbol, Kline) if kline.open_time > before.open_time and kline.trades)

        assert before.trades == before.last_fill_id - before.first_fill_id + 1
        assert after.first_fill_id == before.last_fill_id + 1
        in_minute = [trade for trade in trades if Interval.M1.open_of(trade.trade_time) == before.open_time]
        assert in_minute[-1].last_id == before.last_fill_id


def test_a_frame_comes_for_every_two_seconds_of_a_market_that_moves():
    """Fact: kline frames tell the feed's clock between trades: never more than three seconds apart while it trades."""
    times = sorted(kline.event_time for kline in of_symbol("BTCUSDT", Kline))

    assert max(two - one for one, two in pairwise(times)) <= 3_000


def test_the_clock_of_a_frame_is_never_before_what_it_tells():
    """Fact: E is the time of sending, T that of the trade: T <= E, by less than the 3 s that closing waits."""
    lags = [item.event_time - item.trade_time for item in frames(RECORDING) if isinstance(item, Trade)]

    assert min(lags) >= 0
    assert max(lags) < 3_000
