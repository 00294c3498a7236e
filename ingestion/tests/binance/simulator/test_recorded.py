"""Recorded files: formats, order, and candles equal to the exchange's own."""

import csv
import gzip
import zipfile

import pytest

from ingestion.binance.simulator.recorded import recorded_books
from ingestion.binance.simulator.recordings import BadRecording, read_recording
from ingestion.tests.binance.simulator.support import recorded
from markets.types import DAY_MS, HOUR_MS, to_scaled

LINE = "7,1.50000000,2.00000000,70,72,1700000000123,True,True\n"
EXPECTED = ("ABCUSDT", (7, 150_000_000, 200_000_000, 70, 72, 1700000000123, 1700000000126, True))


@pytest.mark.parametrize("kind", ["plain", "gz", "zip"])
def test_the_archives_file_is_read_in_every_packing(tmp_path, kind):
    path = tmp_path / {"plain": "ABCUSDT-aggTrades-2023-11-14.csv", "gz": "ABCUSDT.csv.gz", "zip": "ABCUSDT.zip"}[kind]
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("ABCUSDT.csv", LINE)
    else:
        path.write_bytes(gzip.compress(LINE.encode()) if kind == "gz" else LINE.encode())

    assert list(read_recording(path)) == [EXPECTED]


def test_microseconds_are_cut_down_and_a_header_is_understood(tmp_path):
    path = tmp_path / "ABCUSDT.csv"
    header = "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker\n"
    path.write_text(header + "7,1.5,2,70,72,1700000000123999,true\n")

    assert list(read_recording(path)) == [EXPECTED]


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("ABCUSDT.csv", "", "empty"),
        ("ABCUSDT.csv", "price,quantity\n1,2\n", "trade_id"),
        ("ABCUSDT.csv", LINE + "8,nonsense,1,1,1,1700000000123,True\n", "trade 2"),
        ("day.csv", LINE, "symbol"),
    ],
)
def test_a_file_that_cannot_be_replayed_is_refused_with_its_place(tmp_path, name, text, problem):
    path = tmp_path / name
    path.write_text(text)

    with pytest.raises(BadRecording, match=problem) as refusal:
        list(read_recording(path))

    assert str(path) in str(refusal.value)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(BadRecording, match="no such file"):
        recorded_books([tmp_path / "ABCUSDT.csv"])


def test_several_days_of_one_symbol_are_one_market_in_id_order(tmp_path):
    late, early = tmp_path / "ABCUSDT-2.csv", tmp_path / "ABCUSDT-1.csv"
    late.write_text("9,1,1,9,9,1700000009000,True,True\n8,1,1,8,8,1700000008000,True,True\n")
    early.write_text("7,1,1,7,7,1700000007000,True,True\n8,1,1,8,8,1700000008000,True,True\n")

    books = recorded_books([late, early])

    assert [row.trade_id for row in books["ABCUSDT"].rows(0, 10)] == [7, 8, 9]


def exchange_candles(day: str, interval: str) -> list[dict[str, str]]:
    path = recorded(f"klines/ADAUSDT-{interval}_2019-05-25_and_2019-06-01.kidogb.csv")
    with path.open(newline="") as lines:
        return [row for row in csv.DictReader(lines) if row["timestamp"].startswith(day)]


@pytest.mark.parametrize(("interval", "width", "count"), [("1h", HOUR_MS, 24), ("1d", DAY_MS, 1)])
def test_bars_of_a_recorded_day_equal_the_exchanges_candles(interval, width, count):
    book = recorded_books([recorded("trades/2019-05-25-ADAUSDT.csv.gz")])["ADAUSDT"]

    candles = exchange_candles("2019-05-25", interval)

    assert len(candles) == count
    for candle in candles:
        start = int(candle["close_time"]) + 1 - width
        bar = book.between(start, start + width)
        assert [bar.open, bar.high, bar.low, bar.close, bar.volume, bar.quote] == [
            to_scaled(candle[name]) for name in ("open", "high", "low", "close", "volume", "quote_av")
        ]
        assert bar.trades == int(candle["trades"])
        assert [bar.buy_volume, bar.buy_quote] == [to_scaled(candle[name]) for name in ("tb_base_av", "tb_quote_av")]


def test_steps_are_read_off_the_trades():
    spec = recorded_books([recorded("trades/2019-05-25-ADAUSDT.csv.gz")])["ADAUSDT"].spec

    assert (spec.base, spec.quote) == ("ADA", "USDT")
    assert (spec.tick, spec.step) == (to_scaled("0.00001"), to_scaled("0.1"))
