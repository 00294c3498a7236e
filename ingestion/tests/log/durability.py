"""The half of the log's contract that is about time and death: retention, and kills at any point."""

from collections.abc import Callable, Iterator, Sequence

import pytest

from ingestion.log.port import Batch, Log, RangeGone, Stored, TopicPartition
from ingestion.log.topics import GROUP_PROCESS
from ingestion.tests.log.kills import Child
from ingestion.tests.log.material import DAY_MS, LIVE, OUT, RAW, RAW_0, SOON_S, drain, everything, record, records


class DurabilityContract:
    """``open`` makes the log of this test, or reopens it after ``close``."""

    def open(self, *, partitions: int = 1, max_backlog: int = 50_000) -> Log:
        raise NotImplementedError

    def let_retention_work(self, log: Log, passed_ms: int) -> None:
        """Let the log's clock go on by ``passed_ms`` and take what retention may take."""
        raise NotImplementedError

    def child(self, task: str, kill_at: int | None = None) -> Child:
        """Another process that opens the same log and works on it, see ``kills``."""
        raise NotImplementedError

    # How long a reader or tail must have nothing before it has given all that is there.
    quiet_s = 0.0
    # A kill inside an append of three leaves none or all of them.
    appends_are_atomic = True

    # Places inside an append or a commit at which an adapter's child can kill itself.
    kill_points: Sequence[int] = ()

    @pytest.fixture
    def log(self) -> Iterator[Log]:
        log = self.open()
        yield log
        log.close()

    def drain(self, poll: Callable[[int, float], Batch | Sequence[Stored]]) -> list[int]:
        """All that a reader or tail gives until it has nothing more."""
        return drain(poll, self.quiet_s)

    # --- retention --------------------------------------------------------------------------------

    def test_retention_takes_old_records_and_a_range_over_them_is_gone(self, log):
        log.append(OUT, records(range(10)))
        self.let_retention_work(log, 8 * DAY_MS)
        log.append(OUT, records(range(10, 12)))
        self.let_retention_work(log, 0)

        assert log.start_offset(OUT, 0) == 10
        assert everything(log, OUT) == [10, 11]
        with pytest.raises(RangeGone) as caught:
            log.read_range(OUT, 0, 3, 11)
        assert caught.value.oldest == 10

    def test_a_tail_from_before_what_is_kept_begins_at_the_oldest(self, log):
        log.append(OUT, records(range(10)))
        self.let_retention_work(log, 8 * DAY_MS)
        log.append(OUT, records(range(10, 12)))

        assert self.drain(log.tail({TopicPartition(OUT, 0): 0}).poll) == [10, 11]

    def test_offsets_go_on_after_retention_took_everything(self):
        log = self.open()
        log.append(OUT, records(range(10)))
        self.let_retention_work(log, 8 * DAY_MS)
        log.close()

        log = self.open()

        assert (log.start_offset(OUT, 0), log.end_offset(OUT, 0)) == (10, 10)
        log.append(OUT, [record(10)])
        assert [r.offset for r in log.read_range(OUT, 0, 10, 11)] == [10]
        log.close()

    def test_a_compacted_topic_keeps_the_newest_record_of_each_key(self, log):
        log.append(LIVE, [record(1, "A"), record(2, "B"), record(3, "A")])
        log.append(LIVE, [record(4, "C"), record(5, "A")])

        self.let_retention_work(log, DAY_MS)

        kept = log.tail({TopicPartition(LIVE, 0): 0}).poll(99, SOON_S)
        newest = {r.key: int(r.value) for r in kept}
        assert newest == {"A": 5, "B": 2, "C": 4}
        assert [r.offset for r in kept] == sorted(r.offset for r in kept)
        assert all(r.offset == int(r.value) - 1 for r in kept)

    # --- kills ------------------------------------------------------------------------------------

    def test_a_writer_killed_at_any_point_leaves_whole_appends_only(self):
        self._kill_repeatedly("append", self._check_appends)

    def test_a_processor_killed_at_any_point_writes_everything_exactly_once(self):
        log = self.open()
        log.append(RAW, records(range(200)))
        log.close()

        self._kill_repeatedly("process", self._check_process)

        self.child("process-all").finish()
        log = self.open()
        assert everything(log, OUT) == list(range(200))
        assert log.position(GROUP_PROCESS, RAW, 0) == 200
        log.close()

    def _kill_repeatedly(self, task: str, check: Callable[[Log, int], None]) -> None:
        """Let children be killed at aimed points, then at moments that come as they may."""
        acknowledged = 0
        for point in self.kill_points:
            acknowledged = max(acknowledged, self.child(task, kill_at=point).wait_for_its_death())
            check(log := self.open(), acknowledged)
            log.close()
        for steps in (1, 2, 5):
            acknowledged = max(acknowledged, self.child(task).kill_after(steps))
            check(log := self.open(), acknowledged)
            log.close()

    def _check_appends(self, log: Log, acknowledged: int) -> None:
        found = everything(log, OUT)
        assert found == list(range(len(found)))
        if self.appends_are_atomic:
            assert len(found) % 3 == 0, "half an append is there"
        assert len(found) >= acknowledged, "an acknowledged append is lost"

    def _check_process(self, log: Log, acknowledged: int) -> None:
        # The reader first: what its predecessor left undecided is decided by its first poll.
        reader = log.reader(GROUP_PROCESS, [RAW])
        state = reader.poll(1, 0).assigned[RAW_0]
        position = log.position(GROUP_PROCESS, RAW, 0)
        assert everything(log, OUT) == list(range(position))
        assert position >= acknowledged
        assert int(state.get("BTCUSDT", b"0")) == position
        reader.close()
