"""The log through which every record travels: ``open_log()`` gives the one of this process."""

import threading

from ingestion.log.port import Log, LogError

_guard = threading.Lock()
_opened: Log | None = None


def open_log() -> Log:
    """The log of this process, opened when first asked for and shared by all its threads."""
    global _opened  # noqa: PLW0603 the one log of the process lives here
    with _guard:
        if _opened is None:
            _opened = _open()
        return _opened


def close_log() -> None:
    """Close the log of this process, if it is open. The next ``open_log`` opens it again."""
    global _opened  # noqa: PLW0603
    with _guard:
        if _opened is not None:
            _opened.close()
            _opened = None


def _open() -> Log:
    from django.conf import settings

    if settings.STREAMLOOM_MODE != "embedded":
        raise LogError("this version knows the log of embedded mode only: set STREAMLOOM_MODE=embedded")
    from ingestion.log.sqlite import SqliteLog

    return SqliteLog(settings.STREAMLOOM_DATA_DIR / "log.db", partitions=settings.STREAMLOOM_PARTITIONS)
