"""``manage.py ingest_trades``."""

from typing import Any

from ingestion.ingest.role import IngestRole, build_role
from ingestion.roles.command import RoleCommand


class Command(RoleCommand):
    help = (
        "Read the exchange's streams (aggTrade and kline_1m of every enabled symbol, one connection per 512 symbols) "
        "and write them to the topic raw_trades; frames that are no trade go to dead_letters. "
        "Follows the watch list of the admin within 5 s. Runs until SIGINT or SIGTERM, then writes what it holds."
    )

    default_metrics_port = 2112

    def make_role(self, options: dict[str, Any]) -> IngestRole:
        return build_role()
