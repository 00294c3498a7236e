"""REST, pages, admin and sockets in one ASGI application: ``uvicorn streamloom.asgi:application``."""

import os

from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "streamloom.settings")
http = get_asgi_application()

from analytics.ws.routing import websocket_urlpatterns  # noqa: E402 - needs Django's apps
from streamloom.request_threads import RequestThreads  # noqa: E402

application = ProtocolTypeRouter({"http": RequestThreads(http), "websocket": URLRouter(websocket_urlpatterns)})
