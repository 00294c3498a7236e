"""All of ingest on one event loop: the watch list in, connections and starts after it, records out."""

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

import structlog
from django.db import Error as DatabaseError

from ingestion.binance import metrics
from ingestion.binance.connection import Connection
from ingestion.binance.feed import ConnectionState, Feed
from ingestion.binance.lane import FeedLimits
from ingestion.ingest.covered import Covered, read_covered
from ingestion.ingest.exchange import Exchange, Rest, ServerTime
from ingestion.ingest.intake import StreamSession
from ingestion.ingest.newest import NewestRow
from ingestion.ingest.starts import Starts
from ingestion.ingest.writer import LogWriter
from ingestion.log.port import Log

log = structlog.get_logger(__name__)

# REST questions at once: a start of 500 symbols takes seconds, and the exchange is not stormed.
REST_THREADS = 8


class Watched(Protocol):
    """What ingest needs to know of a watched symbol (``markets.selectors.WatchedSymbol``)."""

    @property
    def backfill_from_ms(self) -> int | None: ...


@dataclass(frozen=True, slots=True)
class IngestConfig:
    """Where the frames come from, and what is wanted of them.

    ``source`` is written into each trade; ``history_ms``: how far back every symbol is wanted (0: not at all).
    """

    ws_url: str
    source: str
    history_ms: int = 0
    poll_s: float = 2.0
    tick_s: float = 1.0
    again_after_s: float = 60.0
    first_frame_s: float = 5.0
    limits: FeedLimits = field(default_factory=FeedLimits)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """How ingest stands, as of the last tick."""

    frames: int = 0
    written: int = 0
    buffered: int = 0
    last_frame_ms: int | None = None
    connections: tuple[ConnectionState, ...] = ()
    waiting: tuple[str, ...] = ()
    refused_by_region: str | None = None


class IngestLoop:
    """Use from one event loop: ``run`` until cancelled; it then writes what it holds and closes everything.

    ``watched`` gives the watch list (symbol -> Watched); it and ``rest`` block, so they are called in threads.
    """

    def __init__(
        self,
        config: IngestConfig,
        target: Log,
        rest: Rest,
        watched: Callable[[], Mapping[str, Watched]],
        rng: random.Random,
    ) -> None:
        self._config, self._log, self._rest, self._watched, self._rng = config, target, rest, watched, rng
        self._seen: dict[StreamSession, int] = {}
        self._wanted: dict[str, int | None] | None = None
        self.snapshot = Snapshot()

    async def run(self) -> None:
        pools = [ThreadPoolExecutor(1, "ingest-log"), ThreadPoolExecutor(REST_THREADS, "ingest-rest")]
        pools.append(ThreadPoolExecutor(1, "ingest-watch-list"))
        try:
            await self._run(*pools)
        finally:
            for pool in pools:
                # Without waiting: an append may be held back until the log is closed, which comes after us.
                pool.shutdown(wait=False, cancel_futures=True)

    async def _run(self, writing: Executor, asking: Executor, listing: Executor) -> None:
        covered = await asyncio.get_running_loop().run_in_executor(writing, read_covered, self._log)
        self._writer = LogWriter(self._log, writing, rng=self._rng)
        self._exchange = Exchange(self._rest, asking, rng=self._rng)
        self._server_time = ServerTime(self._exchange)
        write = asyncio.create_task(self._writer.run(), name="write")
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_raise_from(write))
                self._assemble(group, covered)
                group.create_task(self._feed.run(), name="feed")
                group.create_task(self._follow_watch_list(listing), name="watch list")
                group.create_task(self._tick(), name="tick")
        finally:
            await self._writer.drain(write)

    def _assemble(self, group: asyncio.TaskGroup, covered: Mapping[str, Covered]) -> None:
        newest = NewestRow(self._exchange, self._server_time, self._config.again_after_s)
        self._starts = Starts(
            self._exchange,
            newest,
            self._writer,
            group.create_task,
            covered=covered,
            history_ms=self._config.history_ms,
            first_frame_s=self._config.first_frame_s,
        )
        self._feed = Feed(self._config.ws_url, self._session, rng=self._rng, limits=self._config.limits)

    def _session(self, connection: Connection) -> StreamSession:
        session = StreamSession(connection, self._starts, self._writer, self._server_time, self._config.source)
        self._starts.sessions.add(session)
        self._seen[session] = 0
        return session

    async def _follow_watch_list(self, executor: Executor) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                watched = await loop.run_in_executor(executor, self._watched)
            except DatabaseError as error:
                metrics.WATCH_LIST_FAILURES.inc()
                log.error("Cannot read the watch list; the last one stays (check DATABASE_URL)", error=str(error))
            else:
                self._watch({name: entry.backfill_from_ms for name, entry in watched.items()})
            await asyncio.sleep(self._config.poll_s)

    def _watch(self, wanted: dict[str, int | None]) -> None:
        if wanted == self._wanted:
            return
        self._wanted = wanted
        metrics.WATCHED.set(len(wanted))
        # Gates first: nothing of a symbol may follow the record that ends its segment.
        self._starts.watch(wanted)
        self._feed.watch(wanted)

    async def _tick(self) -> None:
        while True:
            frames = self._count_frames()
            metrics.FRAMES.inc(frames)
            metrics.HELD_FRAMES.set(self._starts.held)
            before = self.snapshot
            self.snapshot = Snapshot(
                frames=before.frames + frames,
                written=self._writer.written,
                buffered=self._writer.buffered,
                last_frame_ms=int(time.time() * 1000) if frames else before.last_frame_ms,
                connections=tuple(self._feed.states()),
                waiting=tuple(self._starts.waiting),
                refused_by_region=self._feed.refused_by_region,
            )
            await asyncio.sleep(self._config.tick_s)

    def _count_frames(self) -> int:
        """The frames since the last call."""
        total = 0
        for session, seen in list(self._seen.items()):
            total += session.connection.frames - seen
            self._seen[session] = session.connection.frames
            if session.connection.end is not None:
                del self._seen[session]
        return total


async def _raise_from(task: "asyncio.Task[None]") -> None:
    """Fail when the task fails, without being able to cancel it."""
    await asyncio.shield(task)
