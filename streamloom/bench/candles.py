"""A page of candles: read, derived and written as JSON, beside a DRF serializer over rows of Decimals."""

import datetime as dt
import json
import math
from collections.abc import Iterator, Sequence
from decimal import ROUND_DOWN, Decimal
from typing import Any, Final

import msgspec
from rest_framework import serializers
from rest_framework.renderers import JSONRenderer

from analytics.clickhouse.client import client
from analytics.clickhouse.migrate import migrate
from analytics.reading.candles import candle_json, read_candles
from analytics.reading.view import LiveView, Tailed
from analytics.sink import rows
from ingestion.binance.simulator.made_up import made_up_books
from ingestion.log.port import Stored
from ingestion.pipeline.records import CandleRecord, CoverageEvent, CoverageKind, Live
from ingestion.pipeline.window import fold
from markets.types import MINUTE_MS, Interval
from streamloom.bench.contest import Case, Contestant
from streamloom.bench.material import SEED, STARTS_AT, trades_of_rows
from streamloom.bench.naive import CENT, EXACT

_SYMBOL: Final = "LTCUSDT"
_MOST: Final = 1_000
_AMOUNTS: Final = (
    *("open", "high", "low", "close", "volume", "quote_volume", "taker_buy_volume", "taker_buy_quote_volume"),
    "quote_rounding",
)
_IDS: Final = ("first_trade_id", "last_trade_id", "first_fill_id", "last_fill_id")
_CANDLES: Final = (
    "SELECT * FROM candles FINAL WHERE interval = '1m' AND symbol = {symbol:String} ORDER BY open_time DESC LIMIT 1000"
)
_VERDICTS: Final = "SELECT open_time, revision, state FROM certifications WHERE symbol = {symbol:String}"


def cases(material: Any) -> Iterator[Case]:
    """Needs an embedded engine of its own. Of the material only the size counts."""
    records = _records(min(_MOST, len(material.trades)))
    view = _fill(records)
    yield Case(
        f"candles: {len(records):,} of them, reading and JSON",
        1,
        "answer",
        Contestant(lambda _: _naive_answer(), lambda _, body: json.loads(body)),
        Contestant(lambda _: _fast_answer(view), lambda _, body: json.loads(body)),
    )
    page = read_candles(_SYMBOL, Interval.M1, limit=_MOST, view=view).candles
    found = _naive_rows()
    yield Case(
        f"candles: {len(records):,} of them, JSON alone",
        1,
        "answer",
        Contestant(lambda _: _naive_json(found), lambda _, body: json.loads(body)),
        Contestant(lambda _: _fast_json(page), lambda _, body: json.loads(body)),
    )


def _records(minutes: int) -> list[CandleRecord]:
    """Closed minutes in a row, four of five of them certified."""
    book = made_up_books(SEED)[_SYMBOL]
    found = book.rows(book.place_at(STARTS_AT), book.place_at(STARTS_AT + minutes * MINUTE_MS))
    folded = fold(trades_of_rows(_SYMBOL, found), Interval.M1)
    return [
        CandleRecord(candle, "certified" if place % 5 else "closed", "closed", candle.open_time + MINUTE_MS + 20, 0)
        for place, candle in enumerate(folded)
        if candle.agg_trades
    ]


def _fill(records: Sequence[CandleRecord]) -> LiveView:
    store = client()
    migrate(store)
    for table in ("candles", "candle_journal", "klines"):
        store.command(f"TRUNCATE TABLE {table}")
    store.insert_arrow("candles", rows.candle_rows(records))
    store.insert_arrow("candle_journal", rows.journal_rows(records, range(len(records))))
    first, last = records[0].candle, records[-1].candle
    end = last.open_time + MINUTE_MS
    opened = CoverageEvent(
        CoverageKind.SEGMENT_OPENED, _SYMBOL, first.first_trade_id, None, first.open_time, None, "start", end
    )
    view = LiveView(lambda topic, symbol: 0, lambda topic: 1)
    told = (opened, Live(_SYMBOL, end + 1000, closed_to=end))
    view.take([Tailed(Stored("", 0, at, 0, _SYMBOL, b"", 1), record) for at, record in enumerate(told)], {})
    return view


def _fast_answer(view: LiveView) -> bytes:
    return _fast_json(read_candles(_SYMBOL, Interval.M1, limit=_MOST, view=view).candles)


def _fast_json(page: Sequence[Any]) -> bytes:
    return msgspec.json.encode([candle_json(candle) for candle in page])


def _naive_answer() -> bytes:
    return _naive_json(_naive_rows())


def _naive_rows() -> list[dict[str, Any]]:
    parameters = {"symbol": _SYMBOL}
    verdicts = {row[:2]: row[2] for row in client().query(_VERDICTS, parameters=parameters).result_rows}
    found = list(client().query(_CANDLES, parameters=parameters).named_results())
    for row in found:
        row["state"] = verdicts.get((row["open_time"], row["revision"]), "closed")
    return found[::-1]


def _naive_json(found: Sequence[dict[str, Any]]) -> bytes:
    return JSONRenderer().render(NaiveCandle(found, many=True).data)


class NaiveCandle(serializers.Serializer):
    """The shape of a candle as a serializer gives it, field by field."""

    open_time = serializers.SerializerMethodField()
    close_time = serializers.SerializerMethodField()
    vwap = serializers.SerializerMethodField()
    volatility = serializers.SerializerMethodField()
    trades = serializers.IntegerField()
    agg_trades = serializers.IntegerField(source="revision")
    revision = serializers.IntegerField()
    missing = serializers.SerializerMethodField()
    state = serializers.CharField()
    known_at = serializers.SerializerMethodField()

    def get_fields(self) -> dict[str, serializers.Field]:
        amounts = {name: serializers.DecimalField(max_digits=38, decimal_places=8) for name in _AMOUNTS}
        return {**super().get_fields(), **amounts, **{name: serializers.IntegerField() for name in _IDS}}

    def get_open_time(self, row: dict[str, Any]) -> int:
        return _millis(row["open_time"])

    def get_close_time(self, row: dict[str, Any]) -> int:
        return _millis(row["open_time"]) + MINUTE_MS - 1

    def get_known_at(self, row: dict[str, Any]) -> int:
        return _millis(row["known_at"])

    def get_missing(self, row: dict[str, Any]) -> int:
        return 0

    def get_vwap(self, row: dict[str, Any]) -> str:
        average = EXACT.divide(row["quote_volume"], row["volume"])
        return str(average.quantize(CENT, rounding=ROUND_DOWN, context=EXACT))

    def get_volatility(self, row: dict[str, Any]) -> float:
        spread = math.log(row["high"] / row["low"])
        move = math.log(row["close"] / row["open"])
        variance = 0.5 * spread**2 - (2 * math.log(2) - 1) * move**2
        return float(f"{math.sqrt(max(variance, 0.0)):.12g}")


def _millis(time: dt.datetime) -> int:
    return int(Decimal(time.timestamp()).scaleb(3).to_integral_value())
