"""``manage.py create_topics``: the topics of the log, with their settings."""

import time
from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from ingestion.log.port import LogError


class Command(BaseCommand):
    help = (
        "Make every topic of the catalogue and the changelogs on KAFKA_BROKERS (STREAMLOOM_PARTITIONS each), and note "
        "the epoch of each. Topics that exist are left as they are; where one differs from the catalogue the "
        "differences are listed and the command fails. Does nothing in embedded mode."
    )
    requires_system_checks: Sequence[str] = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--check", action="store_true", help="make nothing, only compare")
        parser.add_argument(
            "--replication-factor", type=int, default=-1, help="copies of each partition (default: as the brokers say)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.STREAMLOOM_MODE == "embedded":
            self.stdout.write("Embedded mode keeps its log in a file: there is nothing to make.")
            return
        try:
            self._make(options["replication_factor"], only_check=options["check"])
        except LogError as error:
            raise CommandError(f"{error}\nKAFKA_BROKERS is {settings.KAFKA_BROKERS}: do the brokers run?") from error

    def _make(self, replication: int, *, only_check: bool) -> None:
        from ingestion.log import kafka_epochs, kafka_topics
        from ingestion.log.kafka_clients import Clients
        from ingestion.log.kafka_config import KafkaConfig

        clients = Clients(KafkaConfig.from_settings())
        admin, config = clients.admin(), clients.config
        wanted = kafka_topics.specs(settings.STREAMLOOM_PARTITIONS, replication)
        made = [] if only_check else kafka_topics.create(admin, config, wanted, replication)
        found = kafka_topics.inspect(admin, config, [spec.name for spec in wanted])
        if differing := kafka_topics.differences(wanted, found):
            raise CommandError(_table(differing))
        if not only_check:
            ids = {name: topic.topic_id for name, topic in found.items()}
            kafka_epochs.settle(clients, ids, time.time_ns() // 1_000_000)
        self.stdout.write(f"{len(wanted)} topics are as they should be; {len(made)} of them are new.")


def _table(differences: Sequence[tuple[str, ...]]) -> str:
    rows = [("topic", "setting", "wanted", "found"), *differences]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(
        (
            "The topics differ from the catalogue (ingestion/log/topics.py):",
            *lines,
            "Missing: run create_topics. Settings: alter them with your Kafka tools, or choose another KAFKA_PREFIX. "
            "The number of partitions is for ever: set STREAMLOOM_PARTITIONS to what is there.",
        )
    )
