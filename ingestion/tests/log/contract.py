"""What every adapter of the log port promises. Subclass ``LogContract`` and say how to open one.

Nothing here knows how an adapter works inside. Retention and kills are in ``durability``; waiting for a slow
reader, which only the log of one process does, is in ``pressure``.
"""

import pytest

from ingestion.log.port import GroupBusy, LogClosed, LogError, Record, Stored, TopicPartition
from ingestion.log.topics import GROUP_PROCESS
from ingestion.tests.log.durability import DurabilityContract
from ingestion.tests.log.material import (
    KNOWN_PARTITIONS,
    LIVE,
    OUT,
    RAW,
    RAW_0,
    SOON_S,
    everything,
    in_thread,
    numbers,
    record,
    records,
)


class LogContract(DurabilityContract):
    """The suite: ``DurabilityContract`` says what a subclass has to give."""

    # --- append and read --------------------------------------------------------------------------

    def test_records_come_back_in_order_with_key_value_schema_and_consecutive_offsets(self, log):
        log.append(OUT, [Record("A", b"one", 3), Record("B", b"two")])
        log.append(OUT, [Record("A", b"three")])

        found = log.read_range(OUT, 0, 0, 3)

        assert [(r.offset, r.key, r.value, r.schema) for r in found] == [
            (0, "A", b"one", 3),
            (1, "B", b"two", 1),
            (2, "A", b"three", 1),
        ]
        assert {(r.topic, r.partition) for r in found} == {(OUT, 0)}
        assert all(r.timestamp > 1_500_000_000_000 for r in found)

    def test_a_range_is_cut_exactly_even_inside_a_batch(self, log):
        log.append(OUT, records(range(10)))
        log.append(OUT, records(range(10, 20)))

        assert numbers(log.read_range(OUT, 0, 7, 13)) == [7, 8, 9, 10, 11, 12]
        assert log.read_range(OUT, 0, 5, 5) == []
        assert numbers(log.read_range(OUT, 0, 18, 99)) == [18, 19]

    def test_an_empty_append_writes_nothing(self, log):
        log.append(OUT, [])

        assert log.end_offset(OUT, 0) == 0

    def test_an_unknown_topic_is_an_error_that_names_it(self, log):
        with pytest.raises(LogError, match="raw_tradse"):
            log.append("raw_tradse", [record(1)])

    def test_long_appends_and_what_is_no_longer_in_memory_read_the_same(self, log):
        log.append(OUT, records(range(6_001)))
        log.append(OUT, records(range(6_001, 9_000)))

        assert everything(log, OUT) == list(range(9_000))

    def test_everything_is_there_after_reopening(self):
        log = self.open()
        log.append(OUT, records(range(100)))
        identity = log.topic_id(OUT), log.epoch(OUT)
        log.close()

        log = self.open()

        assert everything(log, OUT) == list(range(100))
        assert (log.topic_id(OUT), log.epoch(OUT)) == identity
        assert log.epoch(OUT) >= 1
        log.append(OUT, [record(100)])
        assert log.end_offset(OUT, 0) == 101
        log.close()

    # --- partitions -------------------------------------------------------------------------------

    def test_a_key_keeps_its_partition_and_its_order(self):
        log = self.open(partitions=4)
        keys = [f"S{n}USDT" for n in range(20)]
        log.append(OUT, [record(n, keys[n % 20]) for n in range(200)])

        assert log.partitions(OUT) == 4
        used = {log.partition_of(OUT, key) for key in keys}
        assert len(used) > 1
        for partition in range(4):
            found = log.read_range(OUT, partition, 0, log.end_offset(OUT, partition))
            for key in {r.key for r in found}:
                mine = [r for r in found if r.key == key]
                assert log.partition_of(OUT, key) == partition
                assert numbers(mine) == sorted(numbers(mine))
                assert len(mine) == 10
        log.close()

    def test_the_partition_of_a_key_is_its_crc32_in_every_process(self):
        log = self.open(partitions=4)

        assert [log.partition_of(OUT, key) for key in KNOWN_PARTITIONS] == list(KNOWN_PARTITIONS.values())
        log.close()

    def test_the_number_of_partitions_is_fixed_when_the_topic_is_made(self):
        self.open(partitions=3).close()

        log = self.open(partitions=5)

        assert log.partitions(OUT) == 3
        log.close()

    # --- readers and commits ----------------------------------------------------------------------

    def test_the_first_poll_assigns_every_partition_with_its_state(self):
        log = self.open(partitions=2)
        reader = log.reader(GROUP_PROCESS, [RAW])
        reader.poll(10, 0)
        log.commit(reader, [], {0: {"A": b"a0", "B": b"b0"}, 1: {"C": b"c1"}}, {RAW_0: 0})
        log.commit(reader, [], {0: {"A": b"a1", "B": None}}, {RAW_0: 0})
        log.close()

        log = self.open(partitions=2)
        batch = log.reader(GROUP_PROCESS, [RAW]).poll(10, SOON_S)

        assert batch.assigned == {TopicPartition(RAW, 0): {"A": b"a1"}, TopicPartition(RAW, 1): {"C": b"c1"}}
        assert not batch.revoked
        log.close()

    def test_reading_goes_on_where_the_last_commit_left_off(self):
        log = self.open()
        log.append(RAW, records(range(30)))
        reader = log.reader(GROUP_PROCESS, [RAW])
        reader.poll(20, SOON_S)
        log.commit(reader, [], {}, {RAW_0: 12})
        assert log.position(GROUP_PROCESS, RAW, 0) == 12
        log.close()

        log = self.open()

        assert log.position(GROUP_PROCESS, RAW, 0) == 12
        assert self.drain(log.reader(GROUP_PROCESS, [RAW]).poll) == list(range(12, 30))
        log.close()

    def test_a_reader_does_not_get_again_what_it_polled_but_has_not_committed(self, log):
        log.append(RAW, records(range(10)))
        reader = log.reader(GROUP_PROCESS, [RAW])

        assert numbers(reader.poll(4, SOON_S).records) == [0, 1, 2, 3]
        assert numbers(reader.poll(99, SOON_S).records) == [4, 5, 6, 7, 8, 9]

    def test_rewinding_goes_back_to_the_last_commit_and_assigns_again(self, log):
        log.append(RAW, records(range(10)))
        reader = log.reader(GROUP_PROCESS, [RAW])
        reader.poll(4, SOON_S)
        log.commit(reader, [], {0: {"k": b"committed"}}, {RAW_0: 4})
        reader.poll(4, SOON_S)

        log.rewind(reader)
        batch = reader.poll(99, SOON_S)

        assert batch.assigned == {RAW_0: {"k": b"committed"}}
        assert numbers(batch.records) + self.drain(reader.poll) == list(range(4, 10))

    def test_a_second_reader_of_a_group_is_refused_until_the_first_closes(self, log):
        first = log.reader(GROUP_PROCESS, [RAW])
        with pytest.raises(GroupBusy):
            log.reader(GROUP_PROCESS, [RAW])
        first.close()

        log.reader(GROUP_PROCESS, [RAW]).poll(1, 0)

        with pytest.raises(LogError):
            log.commit(first, [(OUT, record(1))], {}, {})
        assert log.end_offset(OUT, 0) == 0

    def test_a_commit_shows_outputs_state_and_positions_together(self, log):
        log.append(RAW, records(range(5)))
        reader = log.reader(GROUP_PROCESS, [RAW])
        reader.poll(5, SOON_S)

        log.commit(reader, [(OUT, record(1)), (LIVE, record(2)), (OUT, record(3))], {0: {"k": b"v"}}, {RAW_0: 5})

        assert everything(log, OUT) == [1, 3]
        assert everything(log, LIVE) == [2]
        assert log.position(GROUP_PROCESS, RAW, 0) == 5

    def test_a_commit_that_fails_leaves_nothing(self, log):
        reader = log.reader(GROUP_PROCESS, [RAW])
        reader.poll(1, 0)

        with pytest.raises(LogError):
            log.commit(reader, [(OUT, record(1)), ("no_such_topic", record(2))], {0: {"k": b"v"}}, {RAW_0: 0})

        log.rewind(reader)
        assert reader.poll(1, 0).assigned == {RAW_0: {}}
        assert log.end_offset(OUT, 0) == 0

    def test_two_groups_read_on_their_own(self, log):
        log.append(RAW, records(range(5)))
        one, two = log.reader("one", [RAW]), log.reader("two", [RAW])

        assert self.drain(one.poll) == self.drain(two.poll) == list(range(5))

    # --- waking up --------------------------------------------------------------------------------

    def test_a_waiting_reader_wakes_when_something_is_appended(self, log):
        reader = log.reader(GROUP_PROCESS, [RAW])
        reader.poll(1, 0)
        thread, results = in_thread(lambda: numbers(reader.poll(10, SOON_S).records))

        log.append(RAW, [record(7)])
        thread.join(SOON_S / 2)

        assert results == [[7]]

    def test_a_poll_without_records_answers_empty_after_its_time(self, log):
        reader = log.reader(GROUP_PROCESS, [RAW])
        reader.poll(1, 0)

        batch = reader.poll(10, 0.01)

        assert (list(batch.records), dict(batch.assigned)) == ([], {})

    def test_closing_a_reader_wakes_its_poll_with_nothing(self, log):
        reader = log.reader(GROUP_PROCESS, [RAW])
        reader.poll(1, 0)
        thread, results = in_thread(lambda: list(reader.poll(10, SOON_S).records))

        reader.close()
        thread.join(SOON_S / 2)

        assert results == [[]]

    def test_closing_the_log_ends_every_wait(self):
        log = self.open()
        tail = log.tail({RAW_0: 0})
        thread, results = in_thread(lambda: tail.poll(10, SOON_S))

        log.close()
        thread.join(SOON_S / 2)

        assert not thread.is_alive()
        assert results == [] or isinstance(results[0], LogClosed) or not results[0]

    def test_many_threads_append_and_read_at_once_and_nothing_is_lost_or_doubled(self, log):
        tail = log.tail({TopicPartition(OUT, 0): 0})
        writers = [
            in_thread(lambda n=n: [log.append(OUT, records(range(n, n + 5), f"K{n}")) for n in range(n, n + 200, 5)])
            for n in range(0, 800, 200)
        ]
        found: list[Stored] = []
        while len(found) < 800:
            batch = tail.poll(100, SOON_S)
            assert batch
            found += batch
        for thread, results in writers:
            thread.join(SOON_S)
            assert not isinstance(results[0], LogError)

        assert [r.offset for r in found] == list(range(800))
        assert sorted(numbers(found)) == list(range(800))

    # --- tails ------------------------------------------------------------------------------------

    def test_a_tail_reads_from_its_start_and_then_what_comes(self, log):
        log.append(OUT, records(range(10)))
        tail = log.tail({TopicPartition(OUT, 0): 6})

        assert self.drain(tail.poll) == [6, 7, 8, 9]
        log.append(OUT, [record(10)])
        assert numbers(tail.poll(5, SOON_S)) == [10]

    def test_a_tail_may_start_behind_the_end(self, log):
        tail = log.tail({TopicPartition(OUT, 0): 2})

        log.append(OUT, records(range(4)))

        assert numbers(tail.poll(5, SOON_S)) == [2, 3]
