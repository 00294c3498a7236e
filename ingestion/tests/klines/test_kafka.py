"""``ingest_klines`` on a real broker: what it reads of the log, what it writes, and a restart."""

import pytest

from ingestion.log import codec
from ingestion.log.kafka import KafkaLog
from ingestion.log.topics import CANDLES_1M, CATALOGUE, COVERAGE, PRICES
from ingestion.pipeline.records import Candle, CandleReason, CandleRecord, CoverageEvent, CoverageKind
from ingestion.tests.klines.test_role import check_progress
from ingestion.tests.klines.world import NOON, World, make_kline
from ingestion.tests.log.kafka_place import config_of, fresh_prefix, make_topics, wait_until
from markets.types import MINUTE_MS, Interval

pytestmark = [pytest.mark.services, pytest.mark.timeout(240)]

TRADED = "BTCUSDT"


def test_what_the_log_tells_is_followed_and_a_restart_goes_on(kafka):
    config = config_of(kafka, fresh_prefix())
    make_topics(config, 2, CATALOGUE)
    log = KafkaLog(config, topics=CATALOGUE)
    world = World(log, **{TRADED: True})
    world.pass_time(135)
    assert len(world.newest(Interval.M1, TRADED)) > 20
    since = NOON - 86_400_000
    opened = CoverageEvent(CoverageKind.SEGMENT_OPENED, TRADED, 1, 1, since, None, "backfill", NOON, 1)
    disputed = CandleRecord(Candle(TRADED, "1m", NOON, 1, 1, 1, 1), "disputed", CandleReason.VERDICT, NOON, 0, {})
    frame = make_kline(TRADED, Interval.M1, NOON + 2 * MINUTE_MS, source="simulated")
    log.append(COVERAGE.name, [codec.to_record(opened)])
    log.append(CANDLES_1M.name, [codec.to_record(disputed)])
    log.append(PRICES["1m"].name, [codec.to_record(frame)])
    world.exchange.short[NOON] = 9

    def has_followed() -> bool:
        world.step(1.0)
        held = world.newest(Interval.M1, TRADED)
        return min(held) <= since and held[NOON].trades == 9 and held[NOON].recheck

    wait_until(has_followed, "history and the disputed minute", within_s=60)
    world.role.drain()
    world.kill()
    world.pass_time(120)
    check_progress(world, TRADED)
    log.close()
