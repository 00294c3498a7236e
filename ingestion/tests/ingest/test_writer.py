import asyncio
import random
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import pytest

from ingestion.ingest.writer import LogWriter
from ingestion.log import codec
from ingestion.log.port import LogClosed
from ingestion.log.topics import DEAD_LETTERS, RAW_TRADES
from ingestion.pipeline.records import DeadLetter
from ingestion.tests.deadline import until
from ingestion.tests.ingest.fakes import ListLog, make_trade


@asynccontextmanager
async def writing(log: ListLog, capacity: int = 20_000) -> AsyncIterator[LogWriter]:
    with ThreadPoolExecutor(1) as executor:
        writer = LogWriter(log, executor, rng=random.Random(1), capacity=capacity)
        running = asyncio.create_task(writer.run())
        yield writer
        await writer.drain(running, timeout_s=5.0)


def written_ids(log: ListLog) -> list[int]:
    return [codec.raw(value).trade_id for value in log.values(RAW_TRADES.name)]


async def test_records_are_written_in_order_and_together():
    log = ListLog()
    async with writing(log) as writer:
        for number in range(300):
            writer.put(make_trade(number, 0))
        await until(lambda: writer.written == 300)

    assert written_ids(log) == list(range(300))
    assert len(log.appends) == 1


async def test_a_single_record_is_not_kept_waiting():
    log = ListLog()
    loop = asyncio.get_running_loop()
    async with writing(log) as writer:
        put_at = loop.time()
        writer.put(make_trade(1, 0))
        await until(lambda: writer.written == 1)

        assert loop.time() - put_at < 0.2


async def test_dead_letters_go_to_their_own_topic():
    log = ListLog()
    async with writing(log) as writer:
        writer.put_letter(DeadLetter("not_json", "", "connection 0.1", b"{", 0))
        await until(lambda: log.appends)

    assert codec.dead_letter(log.values(DEAD_LETTERS.name)[0]).frame == b"{"


async def test_what_is_held_at_the_end_is_written():
    log = ListLog()
    async with writing(log) as writer:
        writer.put(make_trade(1, 0))

    assert written_ids(log) == [1]


async def test_a_log_that_waits_fills_the_buffer_and_makes_the_reader_wait():
    log = ListLog()
    log.gate.clear()
    async with writing(log, capacity=10) as writer:
        for number in range(10):
            assert writer.room() is None
            writer.put(make_trade(number, 0))

        waiting = asyncio.ensure_future(writer.room())
        await asyncio.wait([waiting], timeout=0.05)
        assert not waiting.done()

        log.gate.set()
        await asyncio.wait_for(waiting, 5.0)

    assert written_ids(log) == list(range(10))


async def test_a_batch_that_the_log_refuses_is_written_later_and_nothing_overtakes_it():
    log = ListLog()
    log.failures = 2
    async with writing(log) as writer:
        writer.put(make_trade(1, 0))
        await until(lambda: log.failures < 2)
        writer.put(make_trade(2, 0))
        await until(lambda: writer.written == 2)

    assert written_ids(log) == [1, 2]


async def test_a_closed_log_ends_the_writer():
    class ClosedLog(ListLog):
        def append(self, topic, records):
            raise LogClosed("closed")

    with ThreadPoolExecutor(1) as executor:
        writer = LogWriter(ClosedLog(), executor, rng=random.Random(1))
        writer.put(make_trade(1, 0))

        with pytest.raises(LogClosed):
            await asyncio.wait_for(writer.run(), 5.0)
