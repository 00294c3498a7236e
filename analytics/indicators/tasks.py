"""The Celery task of the indicators. It is only a wake-up: running it twice, or never, loses nothing."""

import random

from celery import shared_task

from analytics.indicators.update import update
from ingestion.log import open_log

_chance = random.Random()


@shared_task(name="analytics.indicators", acks_late=True, ignore_result=True)
def indicators(topic: str, partition: int) -> int:
    """Compute the indicators of the klines that were stored; the number of rows."""
    return update(open_log(), topic, partition, chance=_chance)
