"""A data folder of the benchmark's own: it must never touch what a demo or an installation keeps."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings

from analytics.clickhouse.client import close_clients


@contextmanager
def own_store() -> Iterator[Path]:
    """While it lasts, ``client()`` is the embedded engine on a folder that is deleted afterwards.

    For a process that does nothing else: the setting is the whole process's.
    """
    kept = settings.STREAMLOOM_MODE, settings.STREAMLOOM_DATA_DIR
    with tempfile.TemporaryDirectory(prefix="streamloom-bench-") as folder:
        close_clients()
        settings.STREAMLOOM_MODE, settings.STREAMLOOM_DATA_DIR = "embedded", Path(folder)
        try:
            yield Path(folder)
        finally:
            close_clients()
            settings.STREAMLOOM_MODE, settings.STREAMLOOM_DATA_DIR = kept
