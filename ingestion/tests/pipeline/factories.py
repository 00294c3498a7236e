"""Trades and klines that say only what matters to a test, and the recorded data by path."""

import csv
import gzip
from functools import lru_cache
from pathlib import Path

import pytest

from ingestion.pipeline.records import Candle, Kline, Trade
from markets.types import MINUTE_MS, SCALE, to_scaled

RECORDED = Path(__file__).resolve().parents[3].parent / "shared/data/binance"
START = 1_600_000_020_000  # a full minute


def make_trade(trade_id: int, at_ms: int = 0, price: int = 100, qty: int = 1, **fields: object) -> Trade:
    """A trade ``at_ms`` after START; price and qty in whole units; one fill with the trade's own id."""
    values: dict[str, object] = {
        "symbol": "BTCUSDT",
        "trade_id": trade_id,
        "price": price * SCALE,
        "qty": qty * SCALE,
        "first_id": trade_id,
        "last_id": trade_id,
        "trade_time": START + at_ms,
        "is_buyer_maker": False,
        "source": "binance",
        "ingest_ts": START + at_ms + 5,
        "event_time": START + at_ms + 2,
    }
    return Trade(**{**values, **fields})  # type: ignore[arg-type]


def kline_of(candle: Candle, event_time: int, **fields: object) -> Kline:
    """The exchange's closed kline that says the same as our candle."""
    values = {
        name: getattr(candle, name)
        for name in (
            "symbol",
            "interval",
            "open_time",
            "open",
            "high",
            "low",
            "close",
            "volume",
            "quote_volume",
            "trades",
            "taker_buy_volume",
            "taker_buy_quote_volume",
        )
    }
    values |= {
        "close_time": candle.open_time + MINUTE_MS - 1,
        "first_fill_id": -1 if candle.first_fill_id is None else candle.first_fill_id,
        "last_fill_id": -1 if candle.last_fill_id is None else candle.last_fill_id,
        "closed": True,
        "source": "binance",
        "event_time": event_time,
    }
    return Kline(**{**values, **fields})  # type: ignore[arg-type]


def recorded(relative: str) -> Path:
    """The path of a recorded file; the test is skipped, with the reason, where the data is absent."""
    path = RECORDED / relative
    if not path.exists():
        pytest.skip(f"recorded data is absent: shared/data/binance/{relative}")
    return path


@lru_cache(maxsize=2)
def recorded_fills(day: str) -> tuple[Trade, ...]:
    """A recorded day of ADAUSDT fills as trades, in the file's own order (which is not the order of ids)."""
    with gzip.open(recorded(f"trades/{day}-ADAUSDT.csv.gz"), "rt", newline="") as file:
        return tuple(
            Trade(
                "ADAUSDT",
                int(row["trade_id"]),
                to_scaled(row["price"]),
                to_scaled(row["quantity"]),
                int(row["trade_id"]),
                int(row["trade_id"]),
                int(row["trade_time"]),
                row["buyer_market_maker"] == "true",
                "simulated",
                int(row["event_time"]),
                int(row["event_time"]),
            )
            for row in csv.DictReader(file)
        )


def recorded_hours(day: str) -> list[tuple[object, ...]]:
    """The exchange's hourly candles of that day as scaled fields, in the order of ``candle_fields``."""
    path = recorded("klines/ADAUSDT-1h_2019-05-25_and_2019-06-01.kidogb.csv")
    with path.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["timestamp"].startswith(day)]
    amounts = ("open", "high", "low", "close", "volume", "quote_av", "tb_base_av", "tb_quote_av")
    return [(*(to_scaled(row[name]) for name in amounts), int(row["trades"])) for row in rows]


def candle_fields(candle: Candle) -> tuple[object, ...]:
    """A candle's fields as ``recorded_hours`` has them."""
    return (
        candle.open,
        candle.high,
        candle.low,
        candle.close,
        candle.volume,
        candle.quote_volume,
        candle.taker_buy_volume,
        candle.taker_buy_quote_volume,
        candle.trades,
    )
