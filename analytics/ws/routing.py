"""Where the sockets are."""

from django.urls import path

from analytics.ws.consumer import MarketSocket

websocket_urlpatterns = [
    path("ws", MarketSocket.as_asgi()),
    path("ws/candles/<str:symbol>/<str:interval>", MarketSocket.as_asgi()),
]
