from django.apps import AppConfig
from django.conf import settings

from streamloom.logs import configure_logging


class StreamloomConfig(AppConfig):
    """The project itself: pages, the demo, health."""

    name = "streamloom"

    def ready(self) -> None:
        configure_logging(settings.LOG_FORMAT, settings.LOG_LEVEL)
