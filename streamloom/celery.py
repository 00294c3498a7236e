"""The Celery app. Tasks are wake-ups: everything they must remember is in the database.

The worker forks. Nothing that a fork breaks (clients of Kafka and ClickHouse, the engine, threads) may be made when
modules are imported: each child makes its own when a task first asks.
"""

import os
from typing import Any, Final

from celery import Celery
from celery.signals import worker_init, worker_process_init

from streamloom import worker_metrics

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "streamloom.settings")

# Here, because the tasks' modules make their metrics when they are imported.
worker_metrics.keep_by_place()

# A connection to Postgres costs several milliseconds of its CPU, and tasks are short and many.
_KEEP_CONNECTION_S: Final = 60

app = Celery("streamloom")
# For every thread; by itself an app is current only in the thread that made it.
app.set_default()
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(
    ["analytics.sink", "analytics.candles", "analytics.audit", "analytics.indicators", "ingestion.backfill"]
)


@worker_process_init.connect
def keep_connection(**_: Any) -> None:
    """In a child of the worker the database connection outlives a task; it is checked before it is used again."""
    from django.db import connection

    connection.settings_dict["CONN_MAX_AGE"] = _KEEP_CONNECTION_S


@worker_init.connect
def serve_metrics(**_: Any) -> None:
    """Serve what all processes of this worker measure together."""
    from django.conf import settings

    worker_metrics.start_server(settings.STREAMLOOM_WORKER_METRICS)
