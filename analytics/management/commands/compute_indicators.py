"""``manage.py compute_indicators``: every indicator anew, of everything that is stored."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from analytics.clickhouse.client import client
from analytics.clickhouse.sql import sql
from analytics.indicators.update import INTERVALS, Span, compute, revision_now
from ingestion.log import open_log
from markets.types import Interval


class Command(BaseCommand):
    help = (
        "Compute the indicators of all stored klines of 1m, 15m, 1h and 1d again, from ClickHouse to ClickHouse. "
        "Nothing needs it in normal running: it is for tables that were restored, or klines that retention took from "
        "the log before their indicators were computed. May be run at any time and again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--symbol", help="only this one")
        parser.add_argument("--interval", choices=[interval.value for interval in INTERVALS], help="only this one")

    def handle(self, *args: Any, **options: Any) -> None:
        intervals = [options["interval"]] if options["interval"] else [interval.value for interval in INTERVALS]
        found = client().query(sql("kline_extents"), parameters={"intervals": intervals}).result_rows
        wanted = [row for row in found if options["symbol"] in (None, row[0])]
        if not wanted:
            raise CommandError("No such klines are stored.")
        log = open_log()
        for symbol, interval, first, newest in wanted:
            revision = revision_now(log, Interval(interval), symbol)
            written = compute(symbol, Interval(interval), Span(first, newest), revision)
            self.stdout.write(f"{symbol} {interval}: {written} candles")
