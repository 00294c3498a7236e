"""Clients in memory, and a small market for them."""

import json

from channels.testing import WebsocketCommunicator

from analytics.tests.samples import HOUR, MINUTE, TEN, candle, closed, live, segment
from analytics.tests.ws.fakes import World
from ingestion.pipeline.records import Live
from markets.types import SCALE


class Socket(WebsocketCommunicator):
    """A client in memory that speaks JSON."""

    async def say(self, **message) -> None:
        await self.send_to(text_data=json.dumps(message))

    async def hear(self, kind: str) -> dict:
        """The next message of this type; the ones between are skipped."""
        while True:
            message = json.loads(await self.receive_from(timeout=3))
            if message["type"] == kind:
                return message

    async def closed_with(self) -> int:
        while True:
            event = await self.receive_output(timeout=3)
            if event["type"] == "websocket.close":
                return event["code"]


def market(*records) -> World:
    """A world whose symbol is covered from 09:00 and stands at 10:02:30."""
    world = World()
    world.happen(segment(1, TEN - HOUR))
    world.happen(
        closed(candle(TEN, (1, 2))),
        closed(candle(TEN + MINUTE, (3, 4))),
        standing(TEN + 2 * MINUTE, (5, 5)),
        *records,
    )
    return world


def standing(minute: int, ids: tuple[int, int], price: int = 100 * SCALE) -> Live:
    """The minute is forming; all before it are closed."""
    return live(minute + 30_000, minute, candle=candle(minute, ids, price), last_trade_id=ids[1])


async def subscribed(socket: Socket, interval: str = "1m", **more) -> dict:
    await socket.say(op="subscribe", id=1, channel="candles", symbol="btcusdt", interval=interval, **more)
    return await socket.hear("subscribed" if "since" in more else "snapshot")
