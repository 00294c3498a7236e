"""The recorded files as records of the pipeline."""

import csv
import gzip
import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from ingestion.pipeline.parse import klines_from_rest, parse_stream, trades_from_rest
from ingestion.pipeline.records import Candle, Kline, Trade
from ingestion.tests.pipeline.factories import recorded

XRPETH = "trades/XRPETH-aggTrades_2019-10-11_ccxt.json.gz"


def _text(path: Path) -> str:
    data = path.read_bytes()
    return (gzip.decompress(data) if path.suffix == ".gz" else data).decode()


def kline_file(name: str, symbol: str, interval: str) -> list[Kline]:
    """The exchange's own candles of a CSV file with REST's twelve columns under a header."""
    rows = list(csv.reader(_text(recorded(f"klines/{name}")).splitlines()))[1:]
    typed = [[int(row[0]), *row[1:6], int(row[6]), row[7], int(row[8]), *row[9:]] for row in rows]
    return klines_from_rest(json.dumps(typed).encode(), symbol, interval)


def kline_page(name: str, symbol: str, interval: str) -> list[Kline]:
    """A recorded answer of REST."""
    return klines_from_rest(_text(recorded(f"rest/{name}")).encode(), symbol, interval)


def as_candles(klines: list[Kline]) -> list[Candle]:
    """The klines as if we had made them; their order in time stands in for the trade ids, which REST does not tell."""
    shared = ("symbol", "interval", "open_time", "open", "high", "low", "close", "volume", "quote_volume", "trades")
    bought = ("taker_buy_volume", "taker_buy_quote_volume")
    return [
        Candle(
            **{name: getattr(kline, name) for name in (*shared, *bought)},
            first_trade_id=kline.open_time,
            last_trade_id=kline.open_time,
            agg_trades=kline.trades,
        )
        for kline in klines
    ]


@lru_cache(maxsize=1)
def xrpeth() -> tuple[Trade, ...]:
    """Two and a half days of a quiet pair: 12,477 trades as REST told them."""
    rows = [row["info"] for row in json.loads(_text(recorded(XRPETH)))]
    return tuple(trades_from_rest(json.dumps(rows).encode(), "XRPETH", 0))


def frames(name: str) -> Iterator[Trade | Kline]:
    """The trades and klines of recorded raw frames, in the order in which they came."""
    for line in _text(recorded(f"ws/{name}")).splitlines():
        _, found, frame = line.partition(': {"stream"')
        if found:
            item = parse_stream('{"stream"' + frame, 0, "binance")
            if isinstance(item, Trade | Kline):
                yield item


def page(name: str) -> Any:
    """A recorded answer of REST as plain data."""
    return json.loads(_text(recorded(f"rest/{name}")))
