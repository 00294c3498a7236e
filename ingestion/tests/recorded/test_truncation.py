"""The exchange cuts each fill's price x quantity down to 8 decimals before it sums; our bound covers just that."""

import msgspec

from ingestion.pipeline.records import Kline, Trade
from ingestion.pipeline.verdict import compare
from ingestion.pipeline.window import fold
from ingestion.tests.recorded.files import as_candles, frames, kline_file, page
from markets.types import SCALE, Interval, to_scaled

XMR = "BINANCE.ws.1.0_2021-08-14.gz"


def test_each_fills_amount_is_cut_down_never_rounded():
    """Fact: quoteQty = price x qty cut to 8 decimals in 1,000 of 1,000 ETHBTC fills; 886 of them have more."""
    fills = page("trades_ETHBTC_limit-1000.json.gz")
    amounts = [(to_scaled(fill["price"]) * to_scaled(fill["qty"]), to_scaled(fill["quoteQty"])) for fill in fills]

    assert all(exact // SCALE == told for exact, told in amounts)
    assert sum(exact % SCALE != 0 for exact, _ in amounts) == 886


def test_a_fill_of_one_trade_has_the_exchanges_amount_to_the_last_decimal():
    """Fact: the same fills as trades of one fill give the exchange's own sums, with no bound needed."""
    fills = page("trades_ETHBTC_limit-1000.json.gz")
    trades = [
        Trade(
            "ETHBTC", fill["id"], to_scaled(fill["price"]), to_scaled(fill["qty"]), fill["id"], fill["id"],
            fill["time"], fill["isBuyerMaker"], "rest", 0,
        )
        for fill in fills
    ]  # fmt: skip

    candles = fold(trades, Interval.M1)

    assert sum(candle.quote_volume for candle in candles) == sum(to_scaled(fill["quoteQty"]) for fill in fills)
    assert {candle.quote_rounding for candle in candles} == {0}


def test_the_streams_klines_sum_what_was_cut_down():
    """Fact: 0.005773 x 0.228 = 0.001316244 adds 0.00131624 to the kline's q: from frame to frame of XMRBTC."""
    items = [item for item in frames(XMR) if item.symbol == "XMRBTC"]
    steps = 0
    before: Kline | None = None
    since: list[Trade] = []
    for item in items:
        if isinstance(item, Trade):
            since.append(item)
            continue
        if before is not None and item.open_time == before.open_time:
            new = [
                trade for trade in since if trade.first_id > before.last_fill_id and trade.last_id <= item.last_fill_id
            ]
            [part] = fold(new, Interval.M1) or [None]
            if part is not None and part.trades == item.trades - before.trades:
                assert item.quote_volume - before.quote_volume == part.quote_volume
                assert item.taker_buy_quote_volume - before.taker_buy_quote_volume == part.taker_buy_quote_volume
                steps += 1
        before, since = item, []

    assert steps == 2
    assert to_scaled("0.00577300") * to_scaled("0.22800000") % SCALE != 0


def test_where_steps_are_coarse_no_bound_is_claimed():
    """Fact: with price x quantity steps of 1e-8 or more (USDT pairs) nothing is cut, so q and Q must be equal."""
    trades = [item for item in frames("BINANCE-ee25be.0.gz") if isinstance(item, Trade)]

    several = [trade for trade in trades if trade.last_id > trade.first_id]

    assert len(several) > 100
    for symbol in {trade.symbol for trade in trades}:
        candles = fold([trade for trade in trades if trade.symbol == symbol], Interval.M1)
        assert {candle.quote_rounding for candle in candles} == {0}


def test_a_quote_amount_beyond_the_bound_is_a_difference():
    """Fact: ours may exceed the exchange's inside the bound and never fall short of it."""
    [kline, *_] = kline_file("ADAUSDT-1d_2019-05-25_and_2019-06-01.static-klines.csv", "ADAUSDT", "1d")
    [candle] = as_candles([kline])

    def ours(more: int) -> dict[str, list[str]]:
        changed = msgspec.structs.replace(candle, quote_volume=candle.quote_volume + more, quote_rounding=3)
        return compare(changed, kline)

    assert [bool(ours(more)) for more in (-1, 0, 3, 4)] == [True, False, False, True]
