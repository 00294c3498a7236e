from ingestion.ingest.covered import Covered, open_segments, read_covered
from ingestion.log.codec import to_record
from ingestion.log.sqlite import SqliteLog
from ingestion.log.topics import CANDLES_LIVE, COVERAGE
from ingestion.pipeline.records import CoverageEvent, CoverageKind, Live

NOW = 1_700_000_000_000


def opened(symbol: str, covered_from: int, segment: int = 1) -> CoverageEvent:
    return CoverageEvent(
        CoverageKind.SEGMENT_OPENED, symbol, 10, None, covered_from, None, "start", covered_from, segment
    )


def closed(symbol: str, covered_from: int, covered_to: int, segment: int = 1) -> CoverageEvent:
    return CoverageEvent(
        CoverageKind.SEGMENT_CLOSED, symbol, 10, 20, covered_from, covered_to, "unwatch", covered_to, segment
    )


def test_an_open_segment_counts_as_started():
    found = open_segments({"A": [opened("A", NOW)]}, {"A": Live("A", NOW + 5)})

    assert found == {"A": Covered(NOW, NOW + 5)}


def test_a_segment_that_was_closed_does_not():
    assert open_segments({"A": [opened("A", NOW), closed("A", NOW, NOW + 1)]}, {"A": Live("A", NOW + 5)}) == {}


def test_a_symbol_whose_events_fell_to_retention_is_known_by_its_live_record():
    found = open_segments({}, {"A": Live("A", NOW, last_trade_id=7), "B": Live("B", NOW)})

    assert found == {"A": Covered(None, NOW)}


def test_the_log_tells_what_earlier_runs_have_started(tmp_path):
    log = SqliteLog(tmp_path / "log.db", partitions=2)
    log.append(COVERAGE.name, [to_record(opened("A", NOW)), to_record(opened("B", NOW)), to_record(opened("C", NOW))])
    log.append(COVERAGE.name, [to_record(closed("B", NOW, NOW + 1))])
    log.append(CANDLES_LIVE.name, [to_record(Live("A", NOW + time)) for time in (1, 2, 3)])

    found = read_covered(log)

    assert found == {"A": Covered(NOW, NOW + 3), "C": Covered(NOW, NOW)}
    log.close()


def test_an_empty_log_tells_nothing(tmp_path):
    log = SqliteLog(tmp_path / "log.db", partitions=1)

    assert read_covered(log) == {}
    log.close()
