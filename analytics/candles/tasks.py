"""The Celery tasks of changed candles. Only wake-ups: running them twice, or never, loses nothing."""

import time
from collections.abc import Callable
from functools import partial

import structlog
from celery import shared_task

from analytics.candles import check as checking
from analytics.candles import rebuild as rebuilding
from analytics.candles.rollup import BATCH, roll_up_dirty
from analytics.candles.store import CoverageBook
from ingestion.log import open_log

_log = structlog.get_logger(__name__)

_BUDGET_S = 5.0
# Only remembers what is stored: losing it, or having one in each process, changes nothing.
_book = CoverageBook()


@shared_task(name="analytics.rebuild", acks_late=True, ignore_result=True)
def rebuild() -> None:
    """Make dirty minutes again."""
    log = open_log()
    _drain("rebuild", lambda: rebuilding.rebuild_dirty(log, _book))


@shared_task(name="analytics.roll_up", acks_late=True, ignore_result=True)
def roll_up() -> None:
    """Merge dirty hours and days, and compare what the exchange reports itself with its own candles."""
    check = partial(checking.check, open_log(), _book)
    _drain("roll_up", lambda: roll_up_dirty(check=check))


def _drain(what: str, turn: Callable[[], int]) -> None:
    """Take turns while whole batches wait. What fails keeps its claim for a while and is then due again."""
    until = time.monotonic() + _BUDGET_S
    try:
        while turn() == BATCH and time.monotonic() < until:
            pass
    except Exception as error:  # noqa: BLE001 - the top of the task: the buckets stay dirty
        _log.error(
            "dirty buckets were not made again, will be tried again",
            task=what,
            error=f"{type(error).__name__}: {error}",
            hint="are ClickHouse and the log up?",
        )
