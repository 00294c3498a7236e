"""The sockets behind a real server, with clients that read and clients that never do."""

import asyncio
import base64
import json
import socket
import threading
import time

import pytest
import uvicorn
import websockets
from channels.routing import ProtocolTypeRouter, URLRouter
from django.urls import path
from websockets.asyncio.client import connect

from analytics.tests.samples import BTC, HOUR, TEN, candle, enriched, live, segment, trade
from analytics.tests.ws.fakes import World
from analytics.ws.config import SocketLimits
from analytics.ws.consumer import MarketSocket
from ingestion.tests.deadline import until

# Together more than the buffers of the kernel and the server take for a client that reads nothing.
BURST, ROUNDS = 500, 60


class Server:
    """The application on a free port of loopback, as the demo serves it."""

    def __init__(self, world: World, limits: SocketLimits) -> None:
        self.world, self._limits = world, limits
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        consumer = MarketSocket.as_asgi(open_hub=self._open_hub)
        app = ProtocolTypeRouter({"websocket": URLRouter([path("ws", consumer)])})
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                lifespan="off",
                log_config=None,
                ws="websockets-sansio",
                ws_per_message_deflate=False,
                timeout_graceful_shutdown=3,
            )
        )
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._listener]}, daemon=True)
        self._thread.start()

    async def _open_hub(self):
        return self.world.hub or self.world.make_hub(self._limits)

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=20)

    def connect(self):
        return connect(f"ws://127.0.0.1:{self.port}/ws", proxy=None, max_queue=None, compression=None)


@pytest.fixture
def serve():
    servers = []

    def start(**limits) -> Server:
        world = World()
        world.happen(segment(1, TEN - HOUR), live(TEN + 30_000, TEN, candle=candle(TEN, (1, 2))))
        servers.append(Server(world, SocketLimits(**limits)))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


class Mute:
    """A client that shakes hands, subscribes to trades, and reads nothing until it is told to."""

    def __init__(self, port: int) -> None:
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.connect(("127.0.0.1", port))
        key = base64.b64encode(bytes(16)).decode()
        self.socket.sendall(
            f"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        assert b"101 Switching" in self.socket.recv(1024)
        self._say({"op": "subscribe", "channel": "trades", "symbol": BTC})

    def _say(self, message: dict) -> None:
        body = json.dumps(message).encode()
        # A mask of zeros leaves the bytes as they are.
        self.socket.sendall(bytes([0x81, 0x80 | len(body)]) + bytes(4) + body)

    def last_bytes(self) -> bytes:
        """Read on to the end; the last four bytes."""
        self.socket.settimeout(10)
        tail = b""
        while True:
            try:
                got = self.socket.recv(1 << 16)
            except ConnectionResetError:
                return tail
            if not got:
                return tail
            tail = (tail + got)[-4:]
            if tail == CLOSE_4008:
                return tail


CLOSE_4008 = bytes([0x88, 2]) + (4008).to_bytes(2, "big")


async def subscribe(client, **what) -> None:
    await client.send(json.dumps({"op": "subscribe", "id": 1, "symbol": BTC, **what}))


async def hear(client, kind: str) -> dict:
    while True:
        message = json.loads(await asyncio.wait_for(client.recv(), 5))
        if message["type"] == kind:
            return message


async def test_a_client_that_never_reads_is_closed_while_the_others_miss_nothing(serve):
    server = serve(outbox_messages=2_000, send_timeout_s=60.0)
    world = server.world
    async with server.connect() as client:
        await subscribe(client, channel="trades")
        await hear(client, "subscribed")
        mute = Mute(server.port)
        await until(lambda: len(world.hub.clients) == 2, "the mute client joins")
        await until(lambda: sum(len(c.subscriptions) for c in world.hub.clients) == 2, "it subscribes")
        waits = []

        for turn in range(ROUNDS):
            ids = range(turn * BURST + 10, (turn + 1) * BURST + 10)
            world.happen(*(enriched(trade(number, TEN)) for number in ids))
            heard = [(await hear(client, "trade"))["trade"]["trade_id"] for _ in ids]
            assert heard == list(ids)
            waits += [len(c.outbox) for c in world.hub.clients]

        await until(lambda: len(world.hub.clients) == 1, "the mute client is let go")
        assert max(waits) <= 2_000
        assert mute.last_bytes() == CLOSE_4008
        mute.socket.close()


async def test_a_send_that_does_not_come_back_is_closed_with_4008(serve):
    server = serve(send_timeout_s=0.4)
    world = server.world
    mute = Mute(server.port)
    await until(lambda: world.hub is not None, "the server has its hub")
    await until(lambda: any(c.subscriptions for c in world.hub.clients), "the mute client subscribes")

    world.happen(*(enriched(trade(number, TEN)) for number in range(9_000)))

    await until(lambda: not world.hub.clients, "it is let go")
    assert mute.last_bytes() == CLOSE_4008
    mute.socket.close()


async def test_a_trade_is_in_the_forming_candle_within_a_quarter_of_a_second(serve):
    server = serve()
    async with server.connect() as client:
        for interval in ("1m", "1h", "1w"):
            await subscribe(client, channel="candles", interval=interval)
            await hear(client, "snapshot")
        slowest = 0.0
        for turn in range(3, 9):
            began = time.monotonic()
            server.world.happen(live(TEN + 30_000 + turn, TEN, candle=candle(TEN, (1, turn))))
            heard: set[str] = set()
            while len(heard) < 3:
                message = await hear(client, "candle")
                heard |= {message["interval"]} if message["candle"]["agg_trades"] == turn else set()
            slowest = max(slowest, time.monotonic() - began)

    assert slowest < 0.25


async def test_a_server_that_stops_closes_with_1012(serve):
    server = serve()
    async with server.connect() as client:
        await subscribe(client, channel="candles", interval="1m")
        await hear(client, "snapshot")

        server.stop()

        with pytest.raises(websockets.ConnectionClosed) as closed:
            await hear(client, "never")
        assert closed.value.rcvd.code == 1012
