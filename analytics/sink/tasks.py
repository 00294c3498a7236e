"""The Celery task of the sink. It is only a wake-up: running it twice, or never, loses nothing."""

import random

from celery import shared_task
from django.conf import settings

from analytics.sink.load import load
from ingestion.log import open_log

_chance = random.Random()


@shared_task(name="analytics.sink", acks_late=True, ignore_result=True)
def sink(topic: str, partition: int) -> int:
    """Store what is new in the partition; the number of records passed."""
    return load(open_log(), topic, partition, max_rows=settings.SINK_MAX_ROWS, chance=_chance)
