"""``manage.py repair_gaps``: missing trades are asked for by REST until they are held or proved to be holes."""

from typing import Any

from ingestion.repair.role import RepairGaps, build_role
from ingestion.roles.command import RoleCommand


class Command(RoleCommand):
    help = (
        "Read coverage; ask the exchange's REST API (aggTrades by id) for what is missing and write the trades, "
        "and holes that were confirmed REPAIR_CONFIRM_S apart, to raw_trades. Gives way to live trades. "
        "Runs until SIGINT or SIGTERM."
    )

    default_metrics_port = 2114

    def make_role(self, options: dict[str, Any]) -> RepairGaps:
        return build_role()
