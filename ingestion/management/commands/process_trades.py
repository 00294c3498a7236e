"""``manage.py process_trades``: raw trades become enriched trades, candles and coverage."""

from typing import Any

from ingestion.log import open_log
from ingestion.process.role import ProcessTrades
from ingestion.roles.command import RoleCommand
from markets.selectors import assets


class Command(RoleCommand):
    help = (
        "Read raw_trades; write enriched_trades, candles_1m, candles_live, coverage, prices-1m and dead_letters, "
        "with the state of each symbol, in one commit. Runs until SIGINT or SIGTERM."
    )

    default_metrics_port = 2113

    def make_role(self, options: dict[str, Any]) -> ProcessTrades:
        return ProcessTrades(open_log(), assets)
