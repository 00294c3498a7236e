"""The Celery task of the backfills. Only a wake-up: running it twice, or never, loses nothing."""

from functools import cache
from typing import Final

from celery import shared_task
from django.conf import settings
from django.db import close_old_connections

from ingestion.backfill import store
from ingestion.backfill.tools import Tools
from ingestion.backfill.work import run_slice
from ingestion.binance.archive import BinanceArchive
from ingestion.binance.archive_lines import Bookmarks
from ingestion.binance.rest import BinanceRest
from ingestion.log import open_log

# Short, so that the worker's other tasks get their turn, and that a stop waits for little.
SLICE_S: Final = 5.0
_ANSWER_S: Final = 10.0


@shared_task(name="ingestion.backfill", acks_late=True, ignore_result=True)
def backfill() -> None:
    """Work on the oldest backfill for some seconds."""
    row = store.take()
    if row is not None:
        run_slice(make_tools(), row, SLICE_S)


def make_tools() -> Tools:
    """What slices work with, as the settings describe it. The clients are made after a fork, once per process."""
    archive, rest = _clients(settings.BINANCE_ARCHIVE_URL, settings.BINANCE_REST_URL)
    close_old_connections()
    return Tools(open_log(), archive, rest, settings.STREAMLOOM_DATA_DIR / "archive", _bookmarks())


@cache
def _clients(archive_url: str, rest_url: str) -> tuple[BinanceArchive, BinanceRest]:
    # Most of the weight is left to the repair and to the short questions of the others.
    return BinanceArchive(archive_url), BinanceRest(rest_url, timeout_s=_ANSWER_S, weight_share=0.5)


@cache
def _bookmarks() -> Bookmarks:
    return Bookmarks()
