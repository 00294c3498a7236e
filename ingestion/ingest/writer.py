"""Writes what was taken in to the log, in order and in batches, from a thread of its own.

``append`` may wait for the processor. Then the buffer fills, ``room`` waits, the connections stop reading, and the
pressure arrives at the exchange's server: nothing is ever dropped here.
"""

import asyncio
import contextlib
import random
from collections.abc import Awaitable
from concurrent.futures import Executor

import structlog

from ingestion.binance.backoff import Backoff
from ingestion.binance.metrics import BUFFERED, WRITE_FAILURES, WRITTEN
from ingestion.log.codec import to_record
from ingestion.log.port import Log, LogClosed, LogError
from ingestion.log.topics import DEAD_LETTERS, RAW_TRADES
from ingestion.pipeline.records import DeadLetter, RawRecord

log = structlog.get_logger(__name__)

BATCH_RECORDS = 500
BATCH_AGE_S = 0.02
# One append at most: the log's file stays free for others between them.
APPEND_RECORDS = 5_000
CAPACITY = 20_000
DRAIN_S = 10.0


class LogWriter:
    """Takes records from the event loop; ``run`` until ``drain`` has returned."""

    def __init__(self, target: Log, executor: Executor, *, rng: random.Random, capacity: int = CAPACITY) -> None:
        self._log, self._executor, self._rng = target, executor, rng
        self._capacity = capacity
        self._items: list[RawRecord] = []
        self._letters: list[DeadLetter] = []
        self._some, self._many, self._room = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._backoff = Backoff(first_s=0.1, cap_s=10.0)
        self._is_draining = False
        self.written = 0

    def put(self, item: RawRecord) -> None:
        """Take one record for ``raw_trades``; records are written in the order in which they were put."""
        self._items.append(item)
        if not self._some.is_set():
            self._some.set()
        elif len(self._items) >= BATCH_RECORDS:
            self._many.set()

    def put_letter(self, letter: DeadLetter) -> None:
        """Take one dead letter."""
        self._letters.append(letter)
        self._some.set()

    def room(self) -> Awaitable[None] | None:
        """None while there is room, else something to wait for before the next record is made."""
        return self._wait_for_room() if self.is_full else None

    @property
    def is_full(self) -> bool:
        return len(self._items) >= self._capacity or len(self._letters) >= self._capacity

    @property
    def buffered(self) -> int:
        """Records that wait to be written."""
        return len(self._items) + len(self._letters)

    async def run(self) -> None:
        """Write until drained. Raises LogClosed when somebody closes the log."""
        while True:
            await self._some.wait()
            await self._let_gather()
            await self._write_batch()
            if self._is_draining and not self._items and not self._letters:
                return

    async def drain(self, running: asyncio.Task[None], timeout_s: float = DRAIN_S) -> None:
        """Write what is held, then end ``running`` (the task of ``run``).

        After ``timeout_s`` the rest is given up: the next start sees those ids as a gap and repairs it.
        """
        self._is_draining = True
        self._some.set()
        done, _ = await asyncio.wait([running], timeout=timeout_s)
        if not done:
            log.warning("The log takes nothing; the rest will be repaired after the next start", left=len(self._items))
            running.cancel()

    async def _let_gather(self) -> None:
        if len(self._items) >= BATCH_RECORDS or self._is_draining:
            return
        self._many.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(BATCH_AGE_S):
                await self._many.wait()

    async def _write_batch(self) -> None:
        items, letters = self._items[:APPEND_RECORDS], self._letters[:APPEND_RECORDS]
        loop, failures = asyncio.get_running_loop(), 0
        while True:
            try:
                await loop.run_in_executor(self._executor, self._append, items, letters)
                break
            except LogClosed:
                raise
            except LogError as error:
                failures += 1
                WRITE_FAILURES.inc()
                log.error("The log refused a batch; trying again (disk full?)", error=str(error), failures=failures)
                await asyncio.sleep(self._backoff.delay_s(failures, self._rng))
        # Taken out only now: what waits in the buffer counts as fill until the log has it.
        del self._items[: len(items)], self._letters[: len(letters)]
        self._after_write(len(items), len(letters))

    def _append(self, items: list[RawRecord], letters: list[DeadLetter]) -> None:
        if items:
            self._log.append(RAW_TRADES.name, [to_record(item) for item in items])
        if letters:
            self._log.append(DEAD_LETTERS.name, [to_record(letter) for letter in letters])

    def _after_write(self, items: int, letters: int) -> None:
        self.written += items
        WRITTEN.labels(RAW_TRADES.name).inc(items)
        WRITTEN.labels(DEAD_LETTERS.name).inc(letters)
        BUFFERED.set(self.buffered)
        if not self._items and not self._letters and not self._is_draining:
            self._some.clear()
        if not self.is_full:
            self._room.set()

    async def _wait_for_room(self) -> None:
        while self.is_full:
            self._room.clear()
            await self._room.wait()
