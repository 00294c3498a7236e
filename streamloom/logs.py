"""Logs as JSON Lines for machines, or coloured lines for a person at a terminal."""

import logging
import sys

import structlog
from structlog.types import Processor

_SHARED: tuple[Processor, ...] = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
)
# They say at INFO what nobody acts on.
_CHATTY = ("uvicorn", "httpx2", "httpcore2", "websockets", "celery", "amqp", "kombu", "asyncio", "clickhouse_connect")


def configure_logging(log_format: str, level: str) -> None:
    """Send every log line, ours and the libraries', to stderr. ``log_format``: json or pretty."""
    render: Processor = (
        structlog.processors.JSONRenderer()
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    errors: tuple[Processor, ...] = (structlog.processors.dict_tracebacks,) if log_format == "json" else ()
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_SHARED,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *errors, render],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(logging.getLevelName(level), logging.WARNING))
