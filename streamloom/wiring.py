"""Every role, built from the settings. The demo runs these as threads; the commands run one each."""

from collections.abc import Callable
from dataclasses import dataclass

from django.conf import settings

from analytics.sink.dispatch import make_dispatch
from ingestion.ingest.role import build_role as build_ingest
from ingestion.klines.role import build_role as build_klines
from ingestion.log import open_log
from ingestion.process.role import ProcessTrades
from ingestion.repair.role import build_role as build_repair
from ingestion.roles import Role
from markets.selectors import assets

# Embedded, the processor waits while the sink has more than this unread: both share one machine's memory.
SINK_LAG_MOST = 200_000


@dataclass(frozen=True, slots=True)
class RolePlan:
    """A role by name, and how to make one: anew for each start."""

    name: str
    make: Callable[[], Role]


def embedded_roles(history_ms: int) -> list[RolePlan]:
    """The roles of one process, in the order in which they are stopped. ``history_ms``: how far back is wanted."""
    return [
        RolePlan("klines", build_klines),
        RolePlan("ingest", lambda: build_ingest(history_ms)),
        RolePlan("repair", build_repair),
        RolePlan("process", make_process),
        RolePlan("dispatch", lambda: make_dispatch(open_log())),
    ]


def make_process() -> ProcessTrades:
    """The processor, held back by the sink when embedded."""
    lag = SINK_LAG_MOST if settings.STREAMLOOM_MODE == "embedded" else None
    return ProcessTrades(open_log(), assets, sink_lag_most=lag)
