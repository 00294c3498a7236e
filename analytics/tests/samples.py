"""Records for the tests of this app: each maker takes only what matters to the test."""

from ingestion.log import codec
from ingestion.log.port import Log
from ingestion.log.topics import CANDLES_1M, CANDLES_LIVE, COVERAGE, ENRICHED_TRADES, PRICES
from ingestion.pipeline.records import (
    Candle,
    CandleRecord,
    CoverageEvent,
    CoverageKind,
    Enriched,
    Kline,
    Live,
    Trade,
)
from markets.types import SCALE, Interval

BTC = "BTCUSDT"
# 2019-06-01 10:00 UTC.
TEN = 1_559_383_200_000
MINUTE = 60_000
HOUR = 60 * MINUTE


def trade(trade_id: int, time: int, price: int = 100 * SCALE, qty: int = SCALE, **other) -> Trade:
    """One trade of one fill; the fill has the trade's id."""
    fields = {
        "symbol": BTC,
        "trade_id": trade_id,
        "price": price,
        "qty": qty,
        "first_id": trade_id,
        "last_id": trade_id,
        "trade_time": time,
        "is_buyer_maker": False,
        "source": "binance",
        "ingest_ts": time + 5,
        "event_time": time + 2,
    }
    return Trade(**(fields | other))


def enriched(made: Trade, *, late: bool = False) -> Enriched:
    """The trade as the processor passes it on."""
    latency = None if made.event_time is None else made.ingest_ts - made.event_time
    return Enriched(
        made,
        base="BTC",
        quote="USDT",
        notional=made.price * made.qty,
        side="sell" if made.is_buyer_maker else "buy",
        session="europe",
        latency_ms=latency,
        trade_day="2019-06-01",
        known_at=made.trade_time + 3,
        late=late,
    )


def candle(open_time: int, ids: tuple[int, int], price: int = 100 * SCALE, **other) -> Candle:
    """A candle of trades with one fill of one coin each, all at one price."""
    first, last = ids
    count = last - first + 1
    fields = {
        "symbol": BTC,
        "interval": "1m",
        "open_time": open_time,
        "open": price,
        "high": price,
        "low": price,
        "close": price,
        "volume": count * SCALE,
        "quote_volume": count * price,
        "trades": count,
        "taker_buy_volume": count * SCALE,
        "taker_buy_quote_volume": count * price,
        "first_trade_id": first,
        "last_trade_id": last,
        "first_fill_id": first,
        "last_fill_id": last,
        "agg_trades": count,
    }
    return Candle(**(fields | other))


def closed(made: Candle, *, state: str = "closed", reason: str = "closed", **other) -> CandleRecord:
    """The record that says what is known of the candle."""
    known_at = other.pop("known_at", made.open_time + MINUTE + 100)
    return CandleRecord(made, state, reason, known_at, **other)


def kline_of(made: Candle, **other) -> Kline:
    """The exchange's report that equals the candle."""
    fields = {name: getattr(made, name) for name in Kline.__struct_fields__ if hasattr(made, name)}
    first, last = made.first_fill_id, made.last_fill_id
    end = Interval(made.interval).next_open(made.open_time)
    fields |= {
        "close_time": end - 1,
        "first_fill_id": -1 if first is None else first,
        "last_fill_id": -1 if last is None else last,
        "closed": True,
        "source": "binance",
        "event_time": end + 50,
    }
    return Kline(**(fields | other))


def segment(from_id: int, covered_from: int, **other) -> CoverageEvent:
    """Everything from here on is to be held."""
    fields = {"cause": "start", "known_at": covered_from, "segment": covered_from}
    return CoverageEvent(
        CoverageKind.SEGMENT_OPENED, other.pop("symbol", BTC), from_id, None, covered_from, None, **(fields | other)
    )


def span(kind: CoverageKind, ids: tuple[int, int], times: tuple[int, int], cause: str = "disconnect") -> CoverageEvent:
    """A gap or hole: the missing ids, and the times of the trades held next to them."""
    return CoverageEvent(kind, BTC, *ids, *times, cause, times[1])


def live(feed_time: int, closed_to: int | None, **other) -> Live:
    """Where the symbol stands."""
    return Live(other.pop("symbol", BTC), feed_time, closed_to=closed_to, **other)


_TOPICS = {
    Enriched: ENRICHED_TRADES.name,
    CandleRecord: CANDLES_1M.name,
    CoverageEvent: COVERAGE.name,
    Live: CANDLES_LIVE.name,
}


def put(log: Log, *items: Enriched | CandleRecord | CoverageEvent | Live | Kline) -> None:
    """Append each item to the topic of its kind."""
    for item in items:
        topic = PRICES[item.interval].name if isinstance(item, Kline) else _TOPICS[type(item)]
        log.append(topic, [codec.to_record(item)])
