"""The sqlite log keeps the contract, and what is special about one file."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.log.port import LogError, Record, TopicPartition
from ingestion.log.sqlite import SqliteLog
from ingestion.log.topics import GROUP_PROCESS, GROUP_SINK
from ingestion.tests.log.contract import LogContract
from ingestion.tests.log.kills import Child
from ingestion.tests.log.material import DAY_MS, OUT, RAW, RAW_0, SOON_S, everything, numbers, record, records
from ingestion.tests.log.pressure import BackPressureContract

OUT_0 = TopicPartition(OUT, 0)


class Clock:
    def __init__(self) -> None:
        self.now_ms = 1_700_000_000_000

    def __call__(self) -> int:
        return self.now_ms


class TestSqliteLog(LogContract, BackPressureContract):
    # A first commit: state, BEGIN, batch, bounds, state, position, COMMIT; then the middle of a second one.
    kill_points = (1, 2, 3, 4, 5, 6, 7, 8, 10)

    @pytest.fixture(autouse=True)
    def _place(self, tmp_path):
        self.path = tmp_path / "log.db"
        self.clock = Clock()

    def open(self, **options):
        return SqliteLog(self.path, clock_ms=self.clock, **options)

    def let_retention_work(self, log, passed_ms):
        self.clock.now_ms += passed_ms
        log.trim()

    def child(self, task, kill_at=None):
        place = str(self.path) if kill_at is None else f"{self.path}@{kill_at}"
        return Child("ingestion.tests.log.sqlite_opener:open_to_be_killed", place, task)

    def test_retention_never_takes_what_a_group_has_still_to_read(self, log):
        for start in range(0, 30, 10):
            log.append(RAW, records(range(start, start + 10)))
            log.append(OUT, records(range(start, start + 10)))
        reader = log.reader(GROUP_PROCESS, [RAW])
        reader.poll(30, SOON_S)
        log.commit(reader, [], {}, {RAW_0: 15})
        log.report(GROUP_SINK, {TopicPartition(OUT, 0): 20})
        assert log.position(GROUP_SINK, OUT, 0) == 20

        self.let_retention_work(log, 8 * DAY_MS)

        assert everything(log, RAW)[-15:] == list(range(15, 30))
        assert everything(log, OUT)[-10:] == list(range(20, 30))
        assert log.start_offset(OUT, 0) > 0


@pytest.fixture
def path(tmp_path):
    return tmp_path / "log.db"


def test_a_second_opening_is_refused_with_the_files_name_and_what_to_do(path):
    log = SqliteLog(path)

    with pytest.raises(LogError, match=r"log\.db.*Another process has this log open"):
        SqliteLog(path)

    log.close()


@pytest.mark.parametrize("content", [b"hello, I am no database at all" * 100, b"SQLite format 3\x00" + b"\xff" * 5000])
def test_a_foreign_or_damaged_file_is_an_error_that_names_it(path, content):
    path.write_bytes(content)

    with pytest.raises(LogError, match=r"log\.db.*move it away"):
        SqliteLog(path)

    assert path.read_bytes() == content


def test_a_damaged_batch_is_an_error_and_no_silence(path):
    log = SqliteLog(path)
    log.append(OUT, [Record("A", b"x" * 200_000)])
    log.close()
    data = bytearray(path.read_bytes())
    at = data.find(b"x" * 1000)
    data[at - 60 : at] = b"\xc1" * 60
    path.write_bytes(data)

    log = SqliteLog(path)
    with pytest.raises(LogError, match=r"log\.db"):
        log.read_range(OUT, 0, 0, 1)
    log.close()


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(LogError, match="data folder"):
        SqliteLog(tmp_path / "file" / "log.db")


def test_a_waiting_reader_uses_no_cpu(path):
    log = SqliteLog(path)
    tail = log.tail({OUT_0: 0})
    before = time.process_time()

    assert not tail.poll(10, 0.5)

    assert time.process_time() - before < 0.05
    log.close()


def test_offsets_are_never_given_out_twice_after_a_loss_of_power(path):
    """The sink had stored up to 8; the file came back with 5 records."""
    log = SqliteLog(path)
    log.append(OUT, records(range(5)))
    tail = log.tail({OUT_0: 0})

    log.report(GROUP_SINK, {OUT_0: 8})
    log.append(OUT, [record(99)])

    assert numbers(log.read_range(OUT, 0, 0, 9)) == [0, 1, 2, 3, 4, 99]
    assert [r.offset for r in tail.poll(99, 0)] == [0, 1, 2, 3, 4, 8]
    log.close()
    log = SqliteLog(path)
    assert log.end_offset(OUT, 0) == 9
    log.close()


def test_a_compacted_topic_compacts_again_and_survives_reopening(path):
    clock = Clock()
    live = "candles_live"
    for turn in range(3):
        log = SqliteLog(path, clock_ms=clock)
        for n in range(turn * 10, turn * 10 + 10):
            log.append(live, [record(n, f"K{n % 4}")])
        clock.now_ms += 2 * 3_600_000
        log.trim()
        kept = log.tail({TopicPartition(live, 0): 0}).poll(99, 0)
        log.close()

    assert numbers(kept) == [26, 27, 28, 29]


def test_a_record_that_survives_for_long_does_not_stop_the_compaction(path):
    """What stays is one batch that spans all offsets since the first survivor."""
    clock = Clock()
    log = SqliteLog(path, clock_ms=clock)
    place = TopicPartition("candles_live", 0)
    log.append("candles_live", [record(0, "QUIET")])
    for turn in range(3):
        log.append("candles_live", records(range(60_000 * turn, 60_000 * (turn + 1))))
        clock.now_ms += 2 * 3_600_000
        log.trim()

    log.close()
    log = SqliteLog(path, clock_ms=clock)
    kept = log.tail({place: 0}).poll(99, 0)

    assert [(r.key, r.offset) for r in kept] == [("QUIET", 0), ("BTCUSDT", 180_000)]
    log.close()


def test_old_batches_go_by_themselves_while_records_come(path):
    clock = Clock()
    log = SqliteLog(path, clock_ms=clock)
    for _ in range(12):
        log.append(OUT, records(range(10)))
        clock.now_ms += 86_400_000

    assert log.start_offset(OUT, 0) >= 30
    log.close()


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 3000), min_size=1, max_size=8),
    polls=st.lists(st.integers(1, 2500), min_size=1, max_size=5),
    reopen=st.booleans(),
)
def test_whatever_the_sizes_of_batches_and_polls_a_tail_sees_each_record_once(tmp_path_factory, sizes, polls, reopen):
    path = tmp_path_factory.mktemp("log") / "log.db"
    log, total = SqliteLog(path), 0
    for size in sizes:
        log.append(OUT, records(range(total, total + size)))
        total += size
    if reopen:
        log.close()
        log = SqliteLog(path)
    tail, found = log.tail({OUT_0: 0}), []

    while batch := tail.poll(polls[len(found) % len(polls)], 0):
        assert len(batch) <= max(polls)
        found += numbers(batch)

    assert found == list(range(total)) == everything(log, OUT)
    log.close()
