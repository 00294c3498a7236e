"""What must come out of recordings, beside what the fault harness knows of made-up markets."""

import csv
from collections.abc import Iterable
from pathlib import Path

from django.conf import settings

from ingestion.binance.simulator.recordings import read_recording
from ingestion.pipeline.records import Trade
from streamloom.faults.oracle import TRUTH_FIELDS, Json, answered, candles, listed, market, trade_of, traded

__all__ = ["TRUTH_FIELDS", "answered", "candles", "listed", "market", "traded"]

DATA = settings.BASE_DIR.parent / "shared/data/binance"
WHY_SKIPPED = "the recorded market data is not here"


def recorded(path: Path) -> list[Trade]:
    """The trades of a recording, by id."""
    return sorted((trade_of(*found) for found in read_recording(path)), key=lambda trade: trade.trade_id)


KLINE_FIELDS = (
    "open",
    "high",
    "low",
    "close",
    "volume",
    "close_time",
    "quote_volume",
    "trades",
    "taker_buy_volume",
    "taker_buy_quote_volume",
)


def exchange_klines(name: str, day: int, day_ms: int = 86_400_000) -> list[Json]:
    """The exchange's own candles of a day from a recorded file, by our names."""
    with (DATA / "klines" / name).open() as file:
        rows = [dict(zip(KLINE_FIELDS, row[1:-1], strict=True)) for row in list(csv.reader(file))[1:]]
    typed: Iterable[Json] = ({**r, "close_time": int(r["close_time"]), "trades": int(r["trades"])} for r in rows)
    return [row for row in typed if day <= row["close_time"] < day + day_ms]
