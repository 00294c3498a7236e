"""Messages of the sockets, both ways: API.md section 5. Pure."""

from collections.abc import Hashable, Mapping
from enum import StrEnum
from typing import Any, Final, NamedTuple

import msgspec

from markets.types import Interval

MAX_CLIENT_BYTES: Final = 4096
Id = int | str | None


class Channel(StrEnum):
    """What can be subscribed to."""

    CANDLES = "candles"
    TRADES = "trades"
    ALERTS = "alerts"


class Code(StrEnum):
    """Why a request was refused. Programs depend on the values."""

    BAD_MESSAGE = "bad_message"
    UNKNOWN_OP = "unknown_op"
    UNKNOWN_CHANNEL = "unknown_channel"
    UNKNOWN_SYMBOL = "unknown_symbol"
    BAD_INTERVAL = "bad_interval"
    BAD_CURSOR = "bad_cursor"
    TOO_OLD = "too_old"
    TOO_MANY_SUBSCRIPTIONS = "too_many_subscriptions"
    BACKEND_UNAVAILABLE = "backend_unavailable"


class Topic(NamedTuple):
    """What one subscription is for. ``interval`` only for candles; ``symbol`` may be empty for alerts."""

    channel: Channel
    symbol: str
    interval: Interval | None = None


class Subscribe(NamedTuple):
    """Be told of a topic; from a cursor on when ``since`` is one."""

    id: Id
    topic: Topic
    since: str | None = None


class Unsubscribe(NamedTuple):
    """Be told of a topic no more."""

    id: Id
    topic: Topic


class ListSubscriptions(NamedTuple):
    """Say what this connection is subscribed to."""

    id: Id


class Ping(NamedTuple):
    """Say that you are there."""

    id: Id


class Refused(NamedTuple):
    """A request that cannot be met; the connection stays open. ``rest``: the path that fetches what is missing."""

    id: Id
    code: Code
    detail: str
    rest: str | None = None


Request = Subscribe | Unsubscribe | ListSubscriptions | Ping


class Message(NamedTuple):
    """A text on its way to every subscriber of a topic, made once.

    ``seq``: the place in the log that it was made from (0: none); those who have that already do not get it.
    ``key``: None for what must arrive; else only the newest of a key waits in an outbox. ``clears``: the key that
    this message makes out of date.
    """

    text: str
    seq: int = 0
    key: Hashable | None = None
    clears: Hashable | None = None


class _Wire(msgspec.Struct):
    op: str
    id: Id = None
    channel: str | None = None
    symbol: str | None = None
    interval: str | None = None
    since: str | None = None


_decoder = msgspec.json.Decoder(_Wire)
_encode = msgspec.json.Encoder().encode


# --- from the client ----------------------------------------------------------------------------------


def decode(text: str | None) -> Request | Refused:
    """The request that a client's message stands for; None stands for a binary message.

    >>> decode('{"op":"ping","id":3}')
    Ping(id=3)
    """
    if text is None:
        return Refused(None, Code.BAD_MESSAGE, "Send JSON text, not binary.")
    if len(text.encode(errors="surrogatepass")) > MAX_CLIENT_BYTES:
        return Refused(None, Code.BAD_MESSAGE, f"A message has at most {MAX_CLIENT_BYTES} bytes.")
    try:
        wire = _decoder.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        return Refused(None, Code.BAD_MESSAGE, f"Not a request: {error}.")
    return _request(wire)


def _request(wire: _Wire) -> Request | Refused:
    match wire.op:
        case "ping":
            return Ping(wire.id)
        case "list":
            return ListSubscriptions(wire.id)
        case "subscribe" | "unsubscribe":
            topic = topic_of(wire.channel, wire.symbol, wire.interval, wire.id)
            if isinstance(topic, Refused):
                return topic
            if wire.op == "unsubscribe":
                return Unsubscribe(wire.id, topic)
            return Subscribe(wire.id, topic, wire.since)
    return Refused(wire.id, Code.UNKNOWN_OP, "op is one of subscribe, unsubscribe, list, ping.")


def topic_of(channel: str | None, symbol: str | None, interval: str | None, id_: Id = None) -> Topic | Refused:
    """The topic that these words name; whether the symbol exists is not looked at here."""
    if channel not in set(Channel):
        return Refused(id_, Code.UNKNOWN_CHANNEL, f"channel is one of {', '.join(Channel)}.")
    if channel == Channel.ALERTS:
        return Topic(Channel.ALERTS, (symbol or "").upper())
    if not symbol:
        return Refused(id_, Code.UNKNOWN_SYMBOL, "symbol is missing.")
    if channel == Channel.TRADES:
        return Topic(Channel.TRADES, symbol.upper())
    if interval not in set(Interval):
        return Refused(id_, Code.BAD_INTERVAL, f"interval is one of {', '.join(Interval)} (1m is not 1M).")
    return Topic(Channel.CANDLES, symbol.upper(), Interval(interval))


# --- to the client ------------------------------------------------------------------------------------


def encode(kind: str, body: Mapping[str, Any]) -> str:
    """The text of a server message of type ``kind``."""
    return _encode({"type": kind, **body}).decode()


def subscribed(id_: Id, topic: Topic, cursor: str | None) -> str:
    return encode("subscribed", {"id": id_, **named(topic), "cursor": cursor})


def unsubscribed(id_: Id) -> str:
    return encode("unsubscribed", {"id": id_})


def subscriptions(id_: Id, topics: list[Topic]) -> str:
    return encode("subscriptions", {"id": id_, "subscriptions": [named(topic) for topic in topics]})


def pong(id_: Id, time_ms: int) -> str:
    return encode("pong", {"id": id_, "time": time_ms})


def tick(time_ms: int) -> str:
    return encode("tick", {"time": time_ms})


def refused(refusal: Refused) -> str:
    rest = {} if refusal.rest is None else {"rest": refusal.rest}
    return encode("error", {"id": refusal.id, "code": refusal.code, "detail": refusal.detail, **rest})


def snapshot(topic: Topic, candles: list[dict[str, Any]], cursor: str) -> str:
    return encode("snapshot", {**named(topic), "candles": candles, "cursor": cursor})


def candle(topic: Topic, shape: Mapping[str, Any], cursor: str) -> str:
    return encode("candle", {**named(topic), "candle": shape, "cursor": cursor})


def trade(topic: Topic, shape: Mapping[str, Any], cursor: str) -> str:
    return encode("trade", {"channel": topic.channel, "symbol": topic.symbol, "trade": shape, "cursor": cursor})


def named(topic: Topic) -> dict[str, Any]:
    """The three fields that name a topic in every message about it."""
    return {"channel": topic.channel, "symbol": topic.symbol or None, "interval": topic.interval}
