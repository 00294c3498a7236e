"""The log through which every record travels: ``open_log()`` gives the one of this process."""

import os
import threading

from ingestion.log.port import Log

_guard = threading.Lock()
_opened: Log | None = None
_of_the_parent: list[Log | None] = []


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

    # Imported here: neither adapter may cost anything where the other one works.
    if settings.STREAMLOOM_MODE == "embedded":
        from ingestion.log.sqlite import SqliteLog

        return SqliteLog(settings.STREAMLOOM_DATA_DIR / "log.db", partitions=settings.STREAMLOOM_PARTITIONS)
    from ingestion.log.kafka import KafkaLog
    from ingestion.log.kafka_config import KafkaConfig

    return KafkaLog(KafkaConfig.from_settings())


def _after_fork() -> None:
    """A child of a fork opens its own log. The parent's stays where it is: taking it apart would hang."""
    global _opened, _guard  # noqa: PLW0603
    _of_the_parent.append(_opened)
    _opened, _guard = None, threading.Lock()


os.register_at_fork(after_in_child=_after_fork)
