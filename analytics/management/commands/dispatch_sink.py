"""Watch the log and wake the sink's tasks."""

from typing import Any

from analytics.sink.dispatch import DispatchSink, make_dispatch
from ingestion.log import open_log
from ingestion.roles.command import RoleCommand


class Command(RoleCommand):
    help = (
        "Wake Celery for partitions of the log that are not stored yet, and for dirty buckets, until SIGINT or "
        "SIGTERM. Reads the log's end offsets, SinkPosition and Dirty; writes nothing but wake-ups."
    )

    default_metrics_port = 2115

    def make_role(self, options: dict[str, Any]) -> DispatchSink:
        return make_dispatch(open_log())
