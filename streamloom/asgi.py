"""REST, pages, admin and sockets in one ASGI application: ``uvicorn streamloom.asgi:application``."""

import os

from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "streamloom.settings")
http = get_asgi_application()

try:
    from analytics.ws.routing import websocket_urlpatterns
except ModuleNotFoundError:
    websocket_urlpatterns = []

application = ProtocolTypeRouter({"http": http, "websocket": URLRouter(websocket_urlpatterns)})
