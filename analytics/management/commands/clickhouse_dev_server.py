"""``manage.py clickhouse_dev_server``: the ClickHouse engine behind ClickHouse's HTTP interface."""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import structlog
import uvicorn
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

logger = structlog.get_logger(__name__)

_HOST = "127.0.0.1"
_OURS = ("127.0.0.1", "localhost", "::1")


class Command(BaseCommand):
    help = (
        "For development and tests only: answer ClickHouse's HTTP interface on the loopback interface from one chDB "
        "engine, where no ClickHouse server can be had. Trusts everybody who reaches it, holds answers in memory. "
        "Steps aside when CLICKHOUSE_URL names another server. Runs until SIGINT or SIGTERM."
    )
    # It has nothing to do with Django's own database.
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--path", type=Path, required=True, help="the folder of its data; one process at a time")
        parser.add_argument("--port", type=int, default=8123, help="of the loopback interface")

    def handle(self, *args: Any, **options: Any) -> None:
        _step_aside(settings.CLICKHOUSE_URL, options["port"])
        # Only now: these load the engine.
        from analytics.clickhouse.devserver.app import DevServer
        from analytics.clickhouse.devserver.engine import Engine

        with Engine(options["path"]) as engine:
            logger.info("clickhouse_dev_server_started", port=options["port"], version=engine.version)
            uvicorn.run(
                DevServer(engine),
                host=_HOST,
                port=options["port"],
                log_config=None,
                access_log=False,
                timeout_graceful_shutdown=5,
            )


def _step_aside(url: str, port: int) -> None:
    named = urlsplit(url)
    if not url or (named.hostname in _OURS and named.port == port):
        return
    raise CommandError(
        f"CLICKHOUSE_URL names a server ({named.hostname}:{named.port}): that one is used, and this development server "
        "steps aside. Unset CLICKHOUSE_URL to run it."
    )
