import atexit
import gc

from django.apps import AppConfig
from django.conf import settings

from streamloom.logs import configure_logging


class StreamloomConfig(AppConfig):
    """The project itself: pages, the demo, health."""

    name = "streamloom"

    def ready(self) -> None:
        # Whoever wakes a task must know the queue: without our app, tasks would go to one that nobody serves.
        import streamloom.celery  # noqa: F401

        configure_logging(settings.LOG_FORMAT, settings.LOG_LEVEL)
        # Python's last collection walks every object of a process that is over: a second of CPU each (3.11), so
        # ten roles that end together on two cores could not end in ten seconds.
        atexit.register(gc.freeze)
