"""Bring the ClickHouse schema up to date."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from analytics.clickhouse.client import client
from analytics.clickhouse.migrate import HistoryChanged, migrate, pending


class Command(BaseCommand):
    help = (
        "Run the numbered files of analytics/clickhouse/migrations that this ClickHouse has not seen. "
        "Reads and writes ClickHouse only."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when migrations are pending")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            done = pending(client()) if options["check"] else migrate(client())
        except HistoryChanged as error:
            raise CommandError(str(error)) from error
        word = "pending" if options["check"] else "applied"
        self.stdout.write(f"{word}: {', '.join(str(one.version) for one in done) or 'none'}")
        if options["check"] and done:
            raise CommandError("migrations are pending: run clickhouse_migrate")
