"""The Kafka log keeps the contract, on a real broker."""

import pytest

from ingestion.log.port import Log
from ingestion.tests.log.contract import LogContract
from ingestion.tests.log.kafka_opener import place_of
from ingestion.tests.log.kafka_place import (
    TOPICS,
    SettledKafkaLog,
    config_of,
    fresh_prefix,
    let_retention_take,
    make_topics,
)
from ingestion.tests.log.kills import Child
from ingestion.tests.log.material import DAY_MS, OUT, RAW

pytestmark = [pytest.mark.services, pytest.mark.timeout(240)]


class TestKafkaLog(LogContract):
    # Of a transaction of three records: before it, after the first, the state, the meta record, before and after
    # the offsets, before, inside and after the commit; then the middle of the second one.
    kill_points = (1, 2, 5, 6, 7, 8, 9, 10, 11, 15)
    quiet_s = 0.3
    # The brokers take each record by itself; those who append know it.
    appends_are_atomic = False

    @pytest.fixture(autouse=True)
    def _place(self, kafka):
        self.brokers, self.prefix = kafka, fresh_prefix()

    def open(self, *, partitions: int = 1, max_backlog: int = 0) -> Log:
        config = config_of(self.brokers, self.prefix)
        make_topics(config, partitions)
        return SettledKafkaLog(config, topics=TOPICS)

    def let_retention_work(self, log, passed_ms):
        if passed_ms > 7 * DAY_MS:
            let_retention_take(config_of(self.brokers, self.prefix), log, [RAW, OUT])

    def child(self, task, kill_at=None):
        make_topics(config_of(self.brokers, self.prefix))
        place = place_of(self.brokers, self.prefix, 0, kill_at)
        return Child("ingestion.tests.log.kafka_opener:open_to_be_killed", place, task)
