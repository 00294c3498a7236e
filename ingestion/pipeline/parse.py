"""Bytes from the exchange become trades and klines; the exchange's one-letter names end here.

Source of the shapes: the exchange's stream and REST documentation (aggTrade, kline; klines and
aggTrades rows). A frame is accepted raw or in the combined wrapper ``{"stream":..,"data":..}``.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from ingestion.pipeline.records import Kline, Reason, Rejected, Trade
from ingestion.pipeline.validate import why_impossible
from markets.types import to_scaled

# From here on a time can only be meant in microseconds (as ms it would be the year 5138).
_MICROSECONDS_FROM = 10**14


class _AggTrade(msgspec.Struct, tag_field="e", tag="aggTrade", gc=False):
    E: int
    s: str
    a: int
    p: str
    q: str
    f: int
    l: int  # noqa: E741 the exchange's own name
    T: int
    m: bool


class _KlineBody(msgspec.Struct, gc=False):
    t: int
    T: int
    s: str
    i: str
    f: int
    L: int
    o: str
    c: str
    h: str
    l: str  # noqa: E741 the exchange's own name
    v: str
    n: int
    x: bool
    q: str
    V: str
    Q: str


class _KlineFrame(msgspec.Struct, tag_field="e", tag="kline", gc=False):
    E: int
    s: str
    k: _KlineBody


class _Shutdown(msgspec.Struct, tag_field="e", tag="serverShutdown", gc=False):
    E: int = 0


_Event = _AggTrade | _KlineFrame | _Shutdown


class _Combined(msgspec.Struct, gc=False):
    stream: str
    data: _Event


class _RestTrade(msgspec.Struct, gc=False):
    a: int
    p: str
    q: str
    f: int
    l: int  # noqa: E741 the exchange's own name
    T: int
    m: bool


class Control(msgspec.Struct, frozen=True):
    """A message that carries no data: a reply to a request (``reply``, ``error``) or ``shutdown``."""

    kind: str
    request_id: int | str | None = None
    code: int | None = None
    detail: str = ""


_event_decoder = msgspec.json.Decoder(_Event)
_combined_decoder = msgspec.json.Decoder(_Combined)
_rest_trades_decoder = msgspec.json.Decoder(list[_RestTrade])
_rest_klines_decoder = msgspec.json.Decoder(list[list[Any]])


def parse_stream(payload: bytes | str, ingest_ts: int, source: str) -> Trade | Kline | Control | Rejected:
    """What one WebSocket frame says. Never raises: what cannot be used is a ``Rejected`` with its bytes.

    >>> parse_stream(b'{"result":null,"id":3}', 0, "binance").kind
    'reply'
    """
    frame = payload.encode() if isinstance(payload, str) else payload
    try:
        event = _decode_event(frame)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return _parse_unusual(frame, ingest_ts, source, str(error))
    return _from_event(event, frame, ingest_ts, source)


def _decode_event(frame: bytes) -> _Event:
    if frame.startswith(b'{"stream"'):
        combined: _Combined = _combined_decoder.decode(frame)
        return combined.data
    event: _Event = _event_decoder.decode(frame)
    return event


def _from_event(event: _Event, frame: bytes, ingest_ts: int, source: str) -> Trade | Kline | Control | Rejected:
    try:
        if type(event) is _AggTrade:
            record: Trade | Kline = _trade(event, event.s, event.E, ingest_ts, source)
        elif type(event) is _KlineFrame:
            record = _kline(event, source)
        else:
            return Control("shutdown")
    except ValueError as error:
        return Rejected(Reason.BAD_NUMBER, str(error), frame)
    problem = why_impossible(record)
    return Rejected(Reason.IMPOSSIBLE, problem, frame) if problem else record


def _trade(wire: _AggTrade | _RestTrade, symbol: str, event_time: int | None, ingest_ts: int, source: str) -> Trade:
    return Trade(
        symbol=symbol,
        trade_id=wire.a,
        price=to_scaled(wire.p),
        qty=to_scaled(wire.q),
        first_id=wire.f,
        last_id=wire.l,
        trade_time=to_ms(wire.T),
        is_buyer_maker=wire.m,
        source=source,
        ingest_ts=ingest_ts,
        event_time=None if event_time is None else to_ms(event_time),
    )


def _kline(frame: _KlineFrame, source: str) -> Kline:
    body = frame.k
    return Kline(
        symbol=frame.s,
        interval=body.i,
        open_time=to_ms(body.t),
        close_time=to_ms(body.T),
        open=to_scaled(body.o),
        high=to_scaled(body.h),
        low=to_scaled(body.l),
        close=to_scaled(body.c),
        volume=to_scaled(body.v),
        quote_volume=to_scaled(body.q),
        trades=body.n,
        taker_buy_volume=to_scaled(body.V),
        taker_buy_quote_volume=to_scaled(body.Q),
        first_fill_id=body.f,
        last_fill_id=body.L,
        closed=body.x,
        source=source,
        event_time=to_ms(frame.E),
    )


def _parse_unusual(frame: bytes, ingest_ts: int, source: str, problem: str) -> Trade | Kline | Control | Rejected:
    """Control messages, wrappers in another field order, and everything that is broken."""
    try:
        message = msgspec.json.decode(frame)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return Rejected(Reason.NOT_JSON, str(error), frame)
    if not isinstance(message, dict):
        return Rejected(Reason.NOT_A_TRADE, f"a JSON {type(message).__name__}", frame)
    if "data" in message and "stream" in message:
        message = message["data"]
    if not isinstance(message, dict):
        return Rejected(Reason.NOT_A_TRADE, "the wrapper holds no object", frame)
    if "e" not in message:
        return _control(message) or Rejected(Reason.NOT_A_TRADE, "no event type", frame)
    if message["e"] not in ("aggTrade", "kline", "serverShutdown"):
        return Rejected(Reason.NOT_A_TRADE, f"event {str(message['e'])[:40]!r}", frame)
    try:
        event = msgspec.convert(message, _Event)
    except msgspec.ValidationError as error:
        reason = Reason.MISSING_FIELD if "missing" in str(error) else Reason.BAD_NUMBER
        return Rejected(reason, str(error) or problem, frame)
    return _from_event(event, frame, ingest_ts, source)


def _control(message: dict[str, Any]) -> Control | None:
    request_id = message.get("id")
    if not isinstance(request_id, int | str):
        request_id = None
    error = message.get("error", message if "code" in message else None)
    if isinstance(error, dict):
        code = error.get("code")
        return Control("error", request_id, code if isinstance(code, int) else None, str(error.get("msg", "")))
    return Control("reply", request_id) if "result" in message else None


def trades_from_rest(body: bytes, symbol: str, ingest_ts: int) -> list[Trade]:
    """The rows of a ``/api/v3/aggTrades`` answer, as trades of source ``rest``.

    Raises ValueError when the body is not such an answer: a page is taken whole or not at all.
    """
    rows = _rest_trades_decoder.decode(body)
    trades = [_trade(row, symbol, None, ingest_ts, "rest") for row in rows]
    for trade in trades:
        problem = why_impossible(trade)
        if problem:
            raise ValueError(f"aggTrades row {trade.trade_id}: {problem}")
    return trades


def klines_from_rest(body: bytes, symbol: str, interval: str) -> list[Kline]:
    """The rows of a ``/api/v3/klines`` answer, source ``rest``; the last one may still be running.

    Raises ValueError when the body is not such an answer. REST rows carry no fill ids: they are -1.
    """
    return [_kline_row(row, symbol, interval) for row in _rest_klines_decoder.decode(body)]


def _kline_row(row: Sequence[Any], symbol: str, interval: str) -> Kline:
    if len(row) < 11:
        raise ValueError(f"a kline row has 12 fields, not {len(row)}")
    return Kline(
        symbol=symbol,
        interval=interval,
        open_time=to_ms(int(row[0])),
        close_time=to_ms(int(row[6])),
        open=to_scaled(row[1]),
        high=to_scaled(row[2]),
        low=to_scaled(row[3]),
        close=to_scaled(row[4]),
        volume=to_scaled(row[5]),
        quote_volume=to_scaled(row[7]),
        trades=int(row[8]),
        taker_buy_volume=to_scaled(row[9]),
        taker_buy_quote_volume=to_scaled(row[10]),
        first_fill_id=-1,
        last_fill_id=-1,
        closed=True,
        source="rest",
        event_time=to_ms(int(row[6])),
    )


def to_ms(time: int) -> int:
    """A time of the exchange in milliseconds, whichever unit it came in (told by its magnitude)."""
    return time // 1000 if time >= _MICROSECONDS_FROM else time
