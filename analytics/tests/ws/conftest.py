"""Sockets of the application, closed when the test is over."""

import pytest
from channels.routing import URLRouter
from django.urls import path

from analytics.tests.ws.fakes import World
from analytics.tests.ws.sockets import Socket
from analytics.ws.consumer import MarketSocket


@pytest.fixture
async def open_socket():
    opened = []

    async def start(world: World, url: str = "/ws") -> Socket:
        consumer = MarketSocket.as_asgi(open_hub=world.open_hub)
        app = URLRouter([path("ws", consumer), path("ws/candles/<str:symbol>/<str:interval>", consumer)])
        socket = Socket(app, url)
        assert (await socket.connect())[0]
        opened.append(socket)
        return socket

    yield start
    for socket in opened:
        await socket.disconnect()
