"""The archive's rows: the exchange's own first lines, its known oddities, and everything else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion.binance.archive_rows import parse_kline, parse_trade
from ingestion.pipeline.records import Kline, Reason, Rejected, Trade
from ingestion.tests.binance.simulator.support import recorded
from markets.types import to_text

MS_FROM_2025 = 1_735_689_600_000


def head(name):
    return recorded(f"vision/{name}").read_bytes().splitlines(keepends=True)


def test_trades_of_2023_are_in_milliseconds():
    trades = [parse_trade(line, "BTCUSDT", 5) for line in head("spot_BTCUSDT-aggTrades-2023-11-17.head4.csv")]

    assert trades[0] == Trade(
        "BTCUSDT", 2759293842, 3616351000000, 207000, 3284106384, 3284106384, 1700179200000, True, "archive", 5
    )
    assert [trade.is_buyer_maker for trade in trades][:3] == [True, True, False]
    assert [trade.trade_id for trade in trades] == list(range(2759293842, 2759293842 + len(trades)))


def test_trades_of_2026_are_in_microseconds_and_are_cut_down():
    line = head("spot_BTCUSDT-aggTrades-2026-09-15.head5.csv")[0]

    trade = parse_trade(line, "BTCUSDT", 0)

    assert b",1789430400017025," in line
    assert trade.trade_time == 1789430400017
    assert (trade.first_id, trade.last_id) == (6681954163, 6681954164)


@pytest.mark.parametrize(
    ("name", "symbol", "first"),
    [
        ("spot_ADABTC-1m-2021-11-27.head10.csv", "ADABTC", (1637971200000, 1637971259999, 79)),
        ("spot_BTCUSDT-1m-2026-09-15.head4.csv", "BTCUSDT", (1789430400000, 1789430459999, 1076)),
    ],
)
def test_klines_are_the_same_in_both_units(name, symbol, first):
    klines = [parse_kline(line, symbol, "1m") for line in head(name)]

    assert all(isinstance(kline, Kline) and kline.closed and kline.recheck for kline in klines)
    assert (klines[0].open_time, klines[0].close_time, klines[0].trades) == first
    assert [kline.open_time - klines[0].open_time for kline in klines] == [60_000 * n for n in range(len(klines))]
    assert {(kline.first_fill_id, kline.last_fill_id, kline.source) for kline in klines} == {(-1, -1, "archive")}


def test_an_empty_minute_has_a_kline_without_trades():
    line = (
        b"1735689602000000,0.31601000,0.31601000,0.31601000,0.31601000,0.00000000,1735689602999999,0.00000000,0,"
        b"0.00000000,0.00000000,0\n"
    )

    kline = parse_kline(line, "ADAUSDT", "1s")

    assert (kline.trades, kline.volume, kline.open, kline.open_time) == (0, 0, 31601000, 1735689602000)


def test_an_id_that_the_exchange_took_back_is_held():
    trade = parse_trade(b"12,0.0,0.0,-1,-1,1614556667888,False,True", "ZILBTC", 0)

    assert trade.is_invalid


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"1,2.0,3.0", Reason.MISSING_FIELD),
        (b"x,2.0,3.0,1,1,1700179200000,True,True", Reason.BAD_NUMBER),
        (b"1,2.0,3.0,1,1,1700179200000,maybe,True", Reason.BAD_NUMBER),
        (b"1,nan,3.0,1,1,1700179200000,True,True", Reason.BAD_NUMBER),
        (b"1,-2.0,3.0,1,1,1700179200000,True,True", Reason.IMPOSSIBLE),
        (b"1,2.0,3.0,5,4,1700179200000,True,True", Reason.IMPOSSIBLE),
        (b"1,2.0,3.0,1,1,0,True,True", Reason.IMPOSSIBLE),
        (b"\xff\xfe,2.0", Reason.MISSING_FIELD),
    ],
)
def test_what_cannot_be_used_is_turned_away_with_its_bytes(line, reason):
    rejected = parse_trade(line, "BTCUSDT", 0)

    assert isinstance(rejected, Rejected)
    assert (rejected.reason, rejected.frame) == (reason, line)


@given(st.binary(max_size=200))
def test_parsing_never_raises(line):
    assert isinstance(parse_trade(line, "BTCUSDT", 0), Trade | Rejected)
    assert isinstance(parse_kline(line, "BTCUSDT", "1m"), Kline | Rejected)


@given(
    price=st.integers(1, 10**17),
    qty=st.integers(1, 10**20),
    trade_id=st.integers(0, 2**62),
    time=st.integers(MS_FROM_2025 - 10**11, MS_FROM_2025 + 10**11),
    below=st.integers(0, 999),
    maker=st.booleans(),
)
def test_a_trade_that_was_written_is_read_to_the_last_digit(price, qty, trade_id, time, below, maker):
    written = time * 1000 + below if time >= MS_FROM_2025 else time
    line = f"{trade_id},{to_text(price)},{to_text(qty)},7,9,{written},{maker},True\r\n".encode()

    trade = parse_trade(line, "PEPEUSDT", 1)

    assert trade == Trade("PEPEUSDT", trade_id, price, qty, 7, 9, time, maker, "archive", 1)
