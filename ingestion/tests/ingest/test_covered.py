from ingestion.ingest.covered import Covered, open_segments, read_covered
from ingestion.log.codec import to_record
from ingestion.log.sqlite import SqliteLog
from ingestion.log.topics import CANDLES_LIVE
from ingestion.pipeline.records import Live, Unwatch
from ingestion.tests.pipeline.factories import START, make_trade
from ingestion.tests.pipeline.run import WANT, Run

NOW = 1_700_000_000_000


def test_an_open_segment_counts_as_started_and_the_newest_record_decides():
    lives = [Live("A", NOW), Live("A", NOW + 5, covered_from=NOW), Live("B", NOW, covered_from=NOW), Live("B", NOW + 1)]

    assert open_segments(lives) == {"A": Covered(NOW, NOW + 5)}


def test_switched_off_long_ago_a_symbol_has_not_started():
    """Its coverage events fall to retention, its live record does not: that must tell."""
    run = Run(WANT, make_trade(1, 10))
    running = run.processor.live()
    run.take(Unwatch("BTCUSDT", START + 30_000))

    assert open_segments([running]) == {"BTCUSDT": Covered(START, START + 12)}
    assert open_segments([running, run.processor.live()]) == {}


def test_the_log_tells_what_earlier_runs_have_started(tmp_path):
    log = SqliteLog(tmp_path / "log.db", partitions=2)
    lives = [Live("A", NOW + time, covered_from=NOW) for time in (1, 2, 3)]
    lives += [Live("B", NOW, covered_from=NOW), Live("B", NOW + 1), Live("C", NOW, covered_from=NOW)]
    log.append(CANDLES_LIVE.name, map(to_record, lives))

    found = read_covered(log)

    assert found == {"A": Covered(NOW, NOW + 3), "C": Covered(NOW, NOW)}
    log.close()


def test_an_empty_log_tells_nothing(tmp_path):
    log = SqliteLog(tmp_path / "log.db", partitions=1)

    assert read_covered(log) == {}
    log.close()
