"""Decoded records become Arrow columns for ClickHouse: pure, exact, one function per table.

Scaled integers become decimals by their bytes, without going through text or floats.
"""

import json
from collections.abc import Iterable, Sequence

import pyarrow as pa

from analytics.reading.reports import rank_of
from ingestion.pipeline.records import (
    Candle,
    CandleRecord,
    CoverageEvent,
    DeadLetter,
    Enriched,
    Kline,
    Trade,
)

# What the narrow columns can hold: Decimal(18, 8), Decimal(38, 8) and times before the year 2299.
_PRICE_LIMIT = 10**18
_AMOUNT_LIMIT = 10**38
_INT64_LIMIT = 2**63
_TIME_LIMIT = 10_382_000_000_000

_PRICE = pa.decimal128(18, 8)
_AMOUNT = pa.decimal128(38, 8)
_TIME = pa.timestamp("ms", tz="UTC")

_PRICE_FIELDS = ("open", "high", "low", "close")
_AMOUNT_FIELDS = ("volume", "quote_volume", "taker_buy_volume", "taker_buy_quote_volume")
_ID_FIELDS = ("first_trade_id", "last_trade_id", "first_fill_id", "last_fill_id")


def why_unfit(trade: Trade) -> str | None:
    """What the columns cannot hold of a trade, or None when all of it fits."""
    if not 0 <= trade.price < _PRICE_LIMIT or not 0 <= trade.qty < _AMOUNT_LIMIT:
        return "price or quantity beyond the columns"
    if not 0 <= trade.trade_time < _TIME_LIMIT or not 0 <= trade.trade_id < _INT64_LIMIT:
        return "time or id beyond the columns"
    if trade.first_id >= 0 and not trade.first_id <= trade.last_id < _INT64_LIMIT:
        return "fill ids in the wrong order"
    return None


def why_unfit_candle(candle: Candle | Kline) -> str | None:
    """What the columns cannot hold of a candle, or None when all of it fits."""
    if not all(0 <= getattr(candle, name) < _PRICE_LIMIT for name in _PRICE_FIELDS):
        return "a price beyond the columns"
    if not all(0 <= getattr(candle, name) < _AMOUNT_LIMIT for name in _AMOUNT_FIELDS):
        return "an amount beyond the columns"
    return None if 0 <= candle.open_time < _TIME_LIMIT else "time beyond the columns"


def trade_rows(records: Sequence[Enriched]) -> pa.Table:
    """Rows of ``trades_enriched``; invalid ids too (no fills), so that readers can see what is held."""
    trades = [record.trade for record in records]
    times = [trade.trade_time for trade in trades]
    return pa.table(
        {
            "symbol": _words([trade.symbol for trade in trades]),
            "trade_id": pa.array([trade.trade_id for trade in trades], pa.int64()),
            "trade_time": _times(times),
            "price": _decimals((trade.price for trade in trades), _PRICE),
            "qty": _decimals((trade.qty for trade in trades), _AMOUNT),
            "first_id": pa.array([trade.first_id for trade in trades], pa.int64()),
            "fills": pa.array([_fills(trade) for trade in trades], pa.uint32()),
            "is_buyer_maker": pa.array([int(trade.is_buyer_maker) for trade in trades], pa.uint8()),
            "late": pa.array([int(record.late) for record in records], pa.uint8()),
            "event_lag": pa.array([_event_lag(trade) for trade in trades], pa.int64()),
            "ingest_lag": pa.array([trade.ingest_ts - trade.trade_time for trade in trades], pa.int64()),
            "known_lag": pa.array(
                [record.known_at - time for record, time in zip(records, times, strict=True)], pa.int64()
            ),
            "source": _words([trade.source for trade in trades]),
            "base": _words([record.base for record in records]),
            "quote": _words([record.quote for record in records]),
        }
    )


def candle_rows(records: Sequence[CandleRecord]) -> pa.Table:
    """Rows of ``candles``."""
    candles = [record.candle for record in records]
    return pa.table(
        {
            "interval": _words([candle.interval for candle in candles]),
            **_candle_columns(candles),
            "known_at": _times([record.known_at for record in records]),
        }
    )


def journal_rows(records: Sequence[CandleRecord], seqs: Sequence[int]) -> pa.Table:
    """Rows of ``candle_journal``; ``seqs`` are the records' places in the log."""
    return pa.table(
        {
            **_candle_columns([record.candle for record in records]),
            "seq": pa.array(seqs, pa.uint64()),
            "known_at": _times([record.known_at for record in records]),
            "state": _words([record.state for record in records]),
            "reason": _words([record.reason for record in records]),
            "missing": pa.array([record.missing for record in records], pa.int64()),
            "difference": pa.array([json.dumps(record.difference) if record.difference else "" for record in records]),
        }
    )


def kline_rows(klines: Sequence[Kline]) -> pa.Table:
    """Rows of ``klines``."""
    return pa.table(
        {
            "interval": _words([kline.interval for kline in klines]),
            "symbol": _words([kline.symbol for kline in klines]),
            "open_time": _times([kline.open_time for kline in klines]),
            "close_time": _times([kline.close_time for kline in klines]),
            **_amounts(klines),
            "trades": pa.array([kline.trades for kline in klines], pa.int64()),
            "first_fill_id": pa.array([kline.first_fill_id for kline in klines], pa.int64()),
            "last_fill_id": pa.array([kline.last_fill_id for kline in klines], pa.int64()),
            "closed": pa.array([int(kline.closed) for kline in klines], pa.uint8()),
            "source": _words([kline.source for kline in klines]),
            "rank": pa.array([rank_of(kline) for kline in klines], pa.uint64()),
            "event_time": _times([kline.event_time for kline in klines]),
        }
    )


def coverage_rows(events: Sequence[CoverageEvent], seqs: Sequence[int]) -> pa.Table:
    """Rows of ``coverage_events``; ``seqs`` are the events' places in the log."""
    return pa.table(
        {
            "symbol": _words([event.symbol for event in events]),
            "seq": pa.array(seqs, pa.uint64()),
            "kind": _words([event.kind for event in events]),
            "from_id": pa.array([event.from_id for event in events], pa.int64()),
            "to_id": pa.array([event.to_id for event in events], pa.int64()),
            "from_time": _times([event.from_time for event in events]),
            "to_time": _times([event.to_time for event in events]),
            "cause": _words([event.cause for event in events]),
            "known_at": _times([event.known_at for event in events]),
            "segment": pa.array([event.segment for event in events], pa.int64()),
            "gap": pa.array([event.gap for event in events], pa.int64()),
            "opened_at": _times([event.opened_at for event in events]),
        }
    )


def dead_letter_rows(letters: Sequence[DeadLetter], places: Sequence[tuple[str, int, int, int]]) -> pa.Table:
    """Rows of ``dead_letters``; ``places``: (topic, partition, epoch, offset) of each."""
    topics, partitions, epochs, offsets = zip(*places, strict=True)
    return pa.table(
        {
            "topic": _words(topics),
            "partition": pa.array(partitions, pa.uint32()),
            "epoch": pa.array(epochs, pa.uint32()),
            "offset": pa.array(offsets, pa.uint64()),
            "reason": _words([letter.reason for letter in letters]),
            "symbol": _words([letter.symbol for letter in letters]),
            "detail": pa.array([letter.detail for letter in letters], pa.string()),
            "origin": pa.array([letter.origin for letter in letters], pa.string()),
            "frame": pa.array([letter.frame for letter in letters], pa.binary()),
            "known_at": _times([letter.known_at for letter in letters]),
            "replays": pa.array([letter.replays for letter in letters], pa.uint32()),
        }
    )


def _candle_columns(candles: Sequence[Candle]) -> dict[str, pa.Array]:
    columns = {
        "symbol": _words([candle.symbol for candle in candles]),
        "open_time": _times([candle.open_time for candle in candles]),
        **_amounts(candles),
        "trades": pa.array([candle.trades for candle in candles], pa.int64()),
        "revision": pa.array([candle.revision for candle in candles], pa.uint64()),
        "quote_rounding": _decimals((candle.quote_rounding for candle in candles), _PRICE),
    }
    for name in _ID_FIELDS:
        columns[name] = pa.array([getattr(candle, name) for candle in candles], pa.int64())
    return columns


def _amounts(items: Sequence[Candle] | Sequence[Kline]) -> dict[str, pa.Array]:
    prices = {name: _decimals((getattr(item, name) for item in items), _PRICE) for name in _PRICE_FIELDS}
    sums = {name: _decimals((getattr(item, name) for item in items), _AMOUNT) for name in _AMOUNT_FIELDS}
    return prices | sums


def _fills(trade: Trade) -> int:
    return 0 if trade.is_invalid else trade.last_id - trade.first_id + 1


def _event_lag(trade: Trade) -> int | None:
    return None if trade.event_time is None else trade.event_time - trade.trade_time


def _decimals(scaled: Iterable[int], kind: pa.DataType) -> pa.Array:
    """Decimals of 8 places from integers scaled by 10**8: an Arrow decimal is that integer in 16 bytes."""
    data = b"".join([value.to_bytes(16, "little", signed=True) for value in scaled])
    return pa.Array.from_buffers(kind, len(data) // 16, [None, pa.py_buffer(data)])


def _times(millis: Sequence[int | None]) -> pa.Array:
    # An int64 column would be read as seconds: only a timestamp type is taken as milliseconds.
    return pa.array(millis, pa.int64()).cast(_TIME)


def _words(values: Sequence[str]) -> pa.Array:
    return pa.array(values, pa.string()).dictionary_encode()
