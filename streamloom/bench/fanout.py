"""One message to many sockets: encoded once and shared, beside once for each client."""

import json
from collections import deque
from collections.abc import Iterator
from typing import Any, Final

from analytics.reading.known import candle_json, derive, of_forming
from analytics.reading.view import Clock
from analytics.ws import messages
from analytics.ws.hub import Subscription
from analytics.ws.messages import Channel, Message, Topic
from analytics.ws.outbox import Outbox
from ingestion.pipeline.coverage import SymbolCoverage
from ingestion.pipeline.window import fold
from markets.types import Interval
from streamloom.bench.contest import Case, Contestant
from streamloom.bench.material import Material

_MOST_CLIENTS: Final = 1_000
_MESSAGES: Final = 20


def cases(material: Material) -> Iterator[Case]:
    clients = min(_MOST_CLIENTS, len(material.trades))
    shape = _shape(material)
    topic = Topic(Channel.CANDLES, material.trades[0].symbol, Interval.M1)
    yield Case(
        f"fan-out: a candle to {clients:,} outboxes",
        clients * _MESSAGES,
        "delivery",
        Contestant(
            lambda _: _one_by_one(topic, shape, clients), lambda _, sent: [list(map(json.loads, s)) for s in sent]
        ),
        Contestant(lambda _: _shared(topic, shape, clients), lambda _, sent: [_waiting(outbox) for outbox in sent]),
    )


def _shape(material: Material) -> dict[str, Any]:
    symbol = material.trades[0].symbol
    candle = fold([trade for trade in material.trades if trade.symbol == symbol], Interval.M1)[0]
    view = derive(of_forming(candle), SymbolCoverage(), Clock(candle.open_time, candle.open_time))
    if view is None:
        raise ValueError(f"no candle to show of {symbol}")
    return candle_json(view)


def _one_by_one(topic: Topic, shape: dict[str, Any], clients: int) -> list[deque[str]]:
    queues: list[deque[str]] = [deque() for _ in range(clients)]
    for place in range(_MESSAGES):
        for queue in queues:
            fields = {**messages.named(topic), "candle": shape, "cursor": str(place)}
            queue.append(json.dumps({"type": "candle", **fields}))
    return queues


def _shared(topic: Topic, shape: dict[str, Any], clients: int) -> list[Outbox]:
    outboxes = [Outbox() for _ in range(clients)]
    subscriptions = [Subscription(topic, outbox, _MESSAGES) for outbox in outboxes]
    for subscription in subscriptions:
        subscription.release(0)
    for place in range(_MESSAGES):
        message = Message(messages.candle(topic, shape, str(place)), place + 1)
        for subscription in subscriptions:
            subscription.put(message)
    return outboxes


def _waiting(outbox: Outbox) -> list[Any]:
    found = []
    while (text := outbox.pop()) is not None:
        found.append(json.loads(text))
    return found
