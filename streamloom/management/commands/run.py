"""``manage.py run``: every role as its own process, on real servers."""

import asyncio
import random
import signal
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TextIO

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from streamloom.supervisor.plan import preparations, roles
from streamloom.supervisor.run import PreparationFailed, Supervisor


class Command(BaseCommand):
    help = (
        "Migrate, make the topics, then run every role as a process of its own: web, Celery worker, dispatch, "
        "processors, repair, ingest, klines. What ends is started again. Lines are shown with the role before them. "
        "SIGINT or SIGTERM ends all within ten seconds. "
        "Needs STREAMLOOM_MODE=services (without servers: manage.py demo)."
    )
    # The migrations have not run yet; each process checks for itself.
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=int, default=8000, help="of the page and the API")
        parser.add_argument("--processors", type=int, default=1, help="process_trades, each with a slot of its own")
        parser.add_argument("--workers", type=int, default=2, help="processes of the Celery worker")
        parser.add_argument("--no-metrics", action="store_true", help="open none of the metrics ports (2112 and up)")
        parser.add_argument("--log-dir", type=Path, help="also write each role's lines to a file here")

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.STREAMLOOM_MODE != "services":
            raise CommandError(
                "STREAMLOOM_MODE is not services. Without servers: manage.py demo; to get some: make up, "
                'or make services and eval "$(make -s services-env)"'
            )
        with TemporaryDirectory(prefix="streamloom-worker-") as folder:
            self._run(options, None if options["no_metrics"] else Path(folder))

    def _run(self, options: dict[str, Any], metrics: Path | None) -> None:
        plans = roles(port=options["port"], slots=options["processors"], workers=options["workers"], metrics=metrics)
        width = max(len(plan.name) for plan in (*preparations(), *plans))
        lines = Lines(sys.stdout, width, options["log_dir"])
        try:
            asyncio.run(_supervise(lines, plans))
        except PreparationFailed as failed:
            raise CommandError(
                f"{failed} failed; its lines above say why (manage.py doctor looks at everything)"
            ) from failed


async def _supervise(lines: "Lines", plans: list[Any]) -> None:
    supervisor = Supervisor(settings.BASE_DIR, lines.tell, random.Random())
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, supervisor.stop)
    await supervisor.run(preparations(), plans)


class Lines:
    """Shows each line with its role before it, and keeps it in the role's file when there is a folder for them."""

    def __init__(self, out: TextIO, width: int, folder: Path | None) -> None:
        self._out = out
        self._width = width
        self._folder = folder
        self._files: dict[str, TextIO] = {}
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def tell(self, name: str, line: str) -> None:
        """One line of one role."""
        self._out.write(f"{name:<{self._width}} | {line}\n")
        self._out.flush()
        if self._folder is None:
            return
        if name not in self._files:
            self._files[name] = (self._folder / f"{name}.log").open("a", buffering=1)
        self._files[name].write(line + "\n")
