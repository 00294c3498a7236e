"""Records to bytes and back: JSON whose amounts are numbers that keep every digit.

Encoding writes eight decimals. Decoding goes through floats only where that is provably exact
(value x 10**8 < 2**51: the two roundings together stay below a half), else through decimals.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final, TypeVar

import msgspec

from ingestion.log.port import Record
from ingestion.pipeline.records import (
    Asked,
    Candle,
    CandleRecord,
    CoverageEvent,
    DeadLetter,
    Enriched,
    Hole,
    Joined,
    Kline,
    Live,
    Lost,
    Proved,
    RawRecord,
    Trade,
    Unwatch,
    Want,
)
from ingestion.pipeline.window import volatility, vwap
from markets.types import SCALE, to_text

SCHEMA: Final = 1
# Below this a JSON number read as a float gives back the exact scaled integer.
_EXACT_FLOAT_BELOW: Final = float(2**51 // SCALE)

# More digits than any amount has; a number with a huge exponent is refused before it is written out.
_MOST_DIGITS: Final = 60

_AMOUNTS = frozenset(
    (
        "open",
        "high",
        "low",
        "close",
        "volume",
        "quote_volume",
        "taker_buy_volume",
        "taker_buy_quote_volume",
        "quote_rounding",
        "last_price",
        "last_close",
    )
)
_KINDS: Final[dict[str, type[RawRecord]]] = {
    "want": Want,
    "joined": Joined,
    "asked": Asked,
    "hole": Hole,
    "proved": Proved,
    "unwatch": Unwatch,
    "lost": Lost,
}
_KIND_OF: Final[dict[type, str]] = {struct: kind for kind, struct in _KINDS.items()}


class Unreadable(ValueError):
    """The bytes are no record of that topic."""


# --- trades: the hot path -------------------------------------------------------------------------


class _TradeWire(msgspec.Struct, gc=False):
    event_time: int | None
    symbol: str
    price: float
    qty: float
    trade_id: int
    is_buyer_maker: bool
    source: str
    ingest_ts: int
    trade_time: int
    first_id: int
    last_id: int


class _ExactTradeWire(msgspec.Struct, gc=False):
    price: Decimal
    qty: Decimal


class _EnrichedWire(_TradeWire, gc=False):
    base: str
    quote: str
    side: str
    session: str
    latency_ms: int | None
    trade_day: str
    known_at: int
    late: bool


_trade_decoder = msgspec.json.Decoder(_TradeWire)
_exact_decoder = msgspec.json.Decoder(_ExactTradeWire)
_enriched_decoder = msgspec.json.Decoder(_EnrichedWire)
_dict_decoder = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal)


def encode_trade(trade: Trade) -> bytes:
    """A record of ``raw_trades``, with the fields in the contract's order."""
    event_time = "null" if trade.event_time is None else trade.event_time
    maker = "true" if trade.is_buyer_maker else "false"
    return (
        f'{{"event_time":{event_time},"symbol":"{trade.symbol}","price":{to_text(trade.price)},'
        f'"qty":{to_text(trade.qty)},"trade_id":{trade.trade_id},"is_buyer_maker":{maker},'
        f'"source":"{trade.source}","ingest_ts":{trade.ingest_ts},"trade_time":{trade.trade_time},'
        f'"first_id":{trade.first_id},"last_id":{trade.last_id}}}'
    ).encode()


def encode_enriched(record: Enriched, trade_bytes: bytes) -> bytes:
    """A record of ``enriched_trades``: the trade's own bytes, spliced instead of encoded again."""
    digits = f"{record.notional:017d}"
    latency = "null" if record.latency_ms is None else record.latency_ms
    late = "true" if record.late else "false"
    return (
        trade_bytes[:-1]
        + (
            f',"base":"{record.base}","quote":"{record.quote}","notional":{digits[:-16]}.{digits[-16:]},'
            f'"side":"{record.side}","session":"{record.session}","latency_ms":{latency},'
            f'"trade_day":"{record.trade_day}","known_at":{record.known_at},"late":{late}}}'
        ).encode()
    )


def _trade_of(wire: _TradeWire, value: bytes) -> Trade:
    if -1.0 < wire.price < _EXACT_FLOAT_BELOW and -1.0 < wire.qty < _EXACT_FLOAT_BELOW:
        price, qty = round(wire.price * SCALE), round(wire.qty * SCALE)
    else:
        exact = _exact_decoder.decode(value)
        price, qty = _scaled(exact.price), _scaled(exact.qty)
    return Trade(
        wire.symbol,
        wire.trade_id,
        price,
        qty,
        wire.first_id,
        wire.last_id,
        wire.trade_time,
        wire.is_buyer_maker,
        wire.source,
        wire.ingest_ts,
        wire.event_time,
    )


def raw(value: bytes) -> RawRecord:
    """A record of ``raw_trades``. Raises Unreadable."""
    if not value.startswith(b'{"kind"'):
        try:
            return _trade_of(_trade_decoder.decode(value), value)
        except (msgspec.MsgspecError, ValueError, OverflowError) as error:
            if b'"kind"' not in value:
                raise Unreadable(str(error)) from error
    return _read(value, _raw_of_kind)


def enriched(value: bytes) -> Enriched:
    """A record of ``enriched_trades``. Raises Unreadable."""
    try:
        wire = _enriched_decoder.decode(value)
        trade = _trade_of(wire, value)
    except (msgspec.MsgspecError, ValueError, OverflowError) as error:
        raise Unreadable(str(error)) from error
    return Enriched(
        trade,
        wire.base,
        wire.quote,
        trade.price * trade.qty,
        wire.side,
        wire.session,
        wire.latency_ms,
        wire.trade_day,
        wire.known_at,
        wire.late,
    )


# --- everything else: a few records a second -------------------------------------------------------


def to_record(item: RawRecord | Enriched | CandleRecord | Live | CoverageEvent | DeadLetter) -> Record:
    """The record to append: key (the symbol) and bytes."""
    if isinstance(item, Trade):
        return Record(item.symbol, encode_trade(item), SCHEMA)
    if isinstance(item, Enriched):
        return Record(item.trade.symbol, encode_enriched(item, encode_trade(item.trade)), SCHEMA)
    if isinstance(item, CandleRecord):
        return Record(item.candle.symbol, _encode(_candle_fields(item)), SCHEMA)
    fields = _plain(item)
    if isinstance(item, Live):
        fields["candle"] = None if item.candle is None else _plain(item.candle)
        fields["pending"] = [_plain(candle) for candle in item.pending]
    elif isinstance(item, Kline):
        fields = {"kind": "kline", **fields}
    elif type(item) in _KIND_OF:
        fields = {"kind": _KIND_OF[type(item)], **fields}
    return Record(item.symbol, _encode(fields), SCHEMA)


def _plain(item: msgspec.Struct) -> dict[str, Any]:
    fields = {name: getattr(item, name) for name in item.__struct_fields__}
    for name in _AMOUNTS.intersection(fields):
        if fields[name] is not None:
            fields[name] = msgspec.Raw(to_text(fields[name]).encode())
    return fields


def _candle_fields(item: CandleRecord) -> dict[str, Any]:
    average = vwap(item.candle)
    fields = _plain(item.candle)
    fields["vwap"] = None if average is None else msgspec.Raw(to_text(average).encode())
    fields["volatility"] = volatility(item.candle)
    fields["revision"] = item.candle.revision
    for name in ("state", "difference", "missing", "known_at", "reason"):
        fields[name] = getattr(item, name)
    return fields


_encode = msgspec.json.Encoder().encode

T = TypeVar("T")


def _read(value: bytes, build: Callable[[dict[str, Any]], T]) -> T:
    try:
        return build(_dict_decoder.decode(value))
    except (msgspec.MsgspecError, UnicodeDecodeError, KeyError, TypeError, ValueError, ArithmeticError) as error:
        raise Unreadable(str(error)) from error


def _scaled(number: Decimal | int) -> int:
    scaled = Decimal(number).scaleb(8)
    if scaled.adjusted() > _MOST_DIGITS or scaled != scaled.to_integral_value():
        raise ValueError(f"no amount of at most eight decimals: {str(number)[:40]}")
    return int(scaled)


def _struct(kind: type[T], fields: dict[str, Any]) -> T:
    """The struct from its wire fields; unknown ones are ignored (a newer writer may add some)."""
    known = {name: fields[name] for name in kind.__struct_fields__ if name in fields}  # type: ignore[attr-defined]
    for name in _AMOUNTS.intersection(known):
        if known[name] is not None:
            known[name] = _scaled(known[name])
    return msgspec.convert(known, kind)


def _raw_of_kind(fields: dict[str, Any]) -> RawRecord:
    kind = fields["kind"]
    if kind == "kline":
        return _struct(Kline, fields)
    return _struct(_KINDS[kind], fields)


def candle(value: bytes) -> CandleRecord:
    """A record of ``candles_1m``. Raises Unreadable."""
    return _read(value, _candle_of)


def _candle_of(fields: dict[str, Any]) -> CandleRecord:
    return CandleRecord(
        candle=_struct(Candle, fields),
        state=fields["state"],
        reason=fields["reason"],
        known_at=fields["known_at"],
        missing=fields.get("missing"),
        difference=fields.get("difference"),
    )


def live(value: bytes) -> Live:
    """A record of ``candles_live``. Raises Unreadable."""
    return _read(value, _live_of)


def _live_of(fields: dict[str, Any]) -> Live:
    forming, pending = fields.pop("candle", None), fields.pop("pending", ())
    return msgspec.structs.replace(
        _struct(Live, fields),
        candle=None if forming is None else _struct(Candle, forming),
        pending=tuple(_struct(Candle, item) for item in pending),
    )


def kline(value: bytes) -> Kline:
    """A record of ``prices-<interval>``. Raises Unreadable."""
    return _read(value, lambda fields: _struct(Kline, fields))


def coverage(value: bytes) -> CoverageEvent:
    """A record of ``coverage``. Raises Unreadable."""
    return _read(value, lambda fields: _struct(CoverageEvent, fields))


def dead_letter(value: bytes) -> DeadLetter:
    """A record of ``dead_letters``. Raises Unreadable."""
    return _read(value, lambda fields: _struct(DeadLetter, fields))
