"""``manage.py serve``: REST, pages, admin and sockets."""

from typing import Any

import structlog
import uvicorn
from django.core.management.base import BaseCommand, CommandParser

from analytics.reading.tail import close_tail
from ingestion.log import close_log
from streamloom.web import APPLICATION, server_options

logger = structlog.get_logger(__name__)


class Command(BaseCommand):
    help = (
        "Answer REST, pages, the admin and sockets (uvicorn on streamloom.asgi) until SIGINT or SIGTERM; sockets are "
        "then closed with 1012 and come back elsewhere. Reads the log, ClickHouse and the database. One process: run "
        "several behind a proxy for more."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="the interface to listen on")
        parser.add_argument("--port", type=int, default=8000)

    def handle(self, *args: Any, **options: Any) -> None:
        logger.info("web_started", host=options["host"], port=options["port"])
        uvicorn.run(APPLICATION, host=options["host"], port=options["port"], **server_options())
        close_tail()
        close_log()
        logger.info("web_stopped")
