"""Back-pressure: what the log of embedded mode promises besides. (On Kafka the brokers are the buffer.)"""

import threading

from ingestion.log.port import Log, LogClosed, Reader
from ingestion.log.topics import GROUP_PROCESS
from ingestion.tests.log.durability import DurabilityContract
from ingestion.tests.log.material import NOT_YET_S, OUT, RAW, RAW_0, SOON_S, everything, in_thread, record, records


class BackPressureContract(DurabilityContract):
    """Appends to ``raw_trades`` wait for the processor; nobody else does."""

    def _lagging(self) -> tuple[Log, Reader, threading.Thread, list[object]]:
        log = self.open(max_backlog=10)
        reader = log.reader(GROUP_PROCESS, [RAW])
        reader.poll(1, 0)
        log.append(RAW, records(range(11)))
        thread, results = in_thread(lambda: log.append(RAW, [record(11)]))
        thread.join(NOT_YET_S)
        assert thread.is_alive(), "the append did not wait"
        return log, reader, thread, results

    def test_an_append_waits_while_the_processor_is_far_behind_and_goes_on_when_it_commits(self):
        log, reader, thread, results = self._lagging()
        reader.poll(5, SOON_S)

        log.commit(reader, [], {}, {RAW_0: 1})
        thread.join(SOON_S)

        assert results == [None]
        assert everything(log, RAW) == list(range(12))
        log.close()

    def test_commits_and_other_topics_never_wait(self):
        log, reader, thread, _ = self._lagging()

        log.append(OUT, [record(1)])
        log.commit(reader, [(RAW, record(99))], {}, {})

        assert everything(log, OUT) == [1]
        assert everything(log, RAW) == [*range(11), 99]
        assert thread.is_alive()
        log.close()
        thread.join(SOON_S)

    def test_closing_the_log_ends_a_waiting_append_with_an_error_and_nothing_written(self):
        log, _, thread, results = self._lagging()

        log.close()
        thread.join(SOON_S)

        assert isinstance(results[0], LogClosed)
        log = self.open()
        assert everything(log, RAW) == list(range(11))
        log.close()
