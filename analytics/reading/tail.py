"""The tail: one thread of a web process that follows the log, keeps the view and tells the sockets."""

import atexit
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence

import structlog
from django.db import close_old_connections

from analytics.reading import metrics
from analytics.reading.view import KLINE_TOPICS, LiveView, Tailed
from ingestion.log import codec, open_log, topics
from ingestion.log.port import Log, Stored, Tail, TopicPartition
from ingestion.pipeline.coverage import SymbolCoverage

logger = structlog.get_logger(__name__)

MAX_RECORDS = 2_000
POLL_TIMEOUT_S = 0.25
SINK_LOOK_S = 0.5
FIRST_DELAY_S, LONGEST_DELAY_S = 0.2, 10.0

Listener = Callable[[Sequence[Tailed]], None]
SinkPositions = Callable[[], Mapping[tuple[str, int], int]]
CoverageBefore = Callable[[Log], Mapping[str, SymbolCoverage]]

_DECODERS = {
    topics.CANDLES_1M.name: codec.candle,
    topics.CANDLES_LIVE.name: codec.live,
    topics.COVERAGE.name: codec.coverage,
    topics.ENRICHED_TRADES.name: codec.enriched,
    **dict.fromkeys(KLINE_TOPICS, codec.kline),
}
# What the sink stores is followed from where the sink stands. The newest state of each symbol, and the
# changes of coverage, are followed from the oldest record kept: the view holds all of them.
_FROM_SINK = (topics.CANDLES_1M.name, topics.ENRICHED_TRADES.name, *KLINE_TOPICS)


class LogTail:
    """Follows the log in a thread of its own. Holds nothing back, commits nothing, may be killed at any time."""

    def __init__(
        self,
        log: Log,
        sink_positions: SinkPositions,
        coverage_before: CoverageBefore,
        *,
        chance: random.Random | None = None,
    ) -> None:
        """``sink_positions``: the sink's next offsets by (topic, partition). ``coverage_before(log)``: each
        symbol's coverage from the records that the log has let go."""
        self.view = LiveView(log.partition_of, log.epoch)
        self._log = log
        self._sink_positions = sink_positions
        self._coverage_before = coverage_before
        self._chance = chance or random.Random()  # noqa: S311 - jitter, not a secret
        self._listeners: list[Listener] = []
        self._stop = threading.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log-tail", daemon=True)
        self._tail: Tail | None = None
        self._looked_at = 0.0

    # --- for its owner ---------------------------------------------------------------------------

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stop following; returns when the thread has ended."""
        self._stop.set()
        if not self._thread.is_alive():
            self._close()
        elif self._tail is not None:
            # Its poll returns at once.
            self._tail.close()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(timeout=10)

    def wait_ready(self, timeout_s: float) -> bool:
        """True once the view has caught up with where the log ended when the tail started."""
        return self._ready.wait(timeout_s)

    def listen(self, callback: Listener) -> Callable[[], None]:
        """Call ``callback`` in the tail's thread with each batch, in the order of the log, after the view took it.

        It must not block and must not raise. Returns the function that ends it.
        """
        self._listeners.append(callback)
        return lambda: self._listeners.remove(callback)

    # --- the loop --------------------------------------------------------------------------------

    def _run(self) -> None:
        delay = FIRST_DELAY_S
        while not self._stop.is_set():
            try:
                self._follow()
                delay = FIRST_DELAY_S
            except Exception as error:  # noqa: BLE001 - the thread's top: it must outlive every outage
                if self._stop.is_set():
                    break
                metrics.TAIL_FAILURES.inc()
                logger.warning(
                    "tail_failed",
                    error=repr(error),
                    retry_in_s=round(delay, 1),
                    what_to_do="check the log, the database and ClickHouse; live answers are stale meanwhile",
                )
                self._stop.wait(delay * self._chance.uniform(0.5, 1.5))
                delay = min(delay * 2, LONGEST_DELAY_S)
        close_old_connections()

    def catch_up(self) -> None:
        """Read all that the log holds now, in the caller's thread; instead of ``start``, for tests and tools."""
        if self._tail is None:
            self._begin()
        ends = self._ends()
        while not self.view.has_reached(ends):
            self.step()
        self.view.forget_sunk(self._sink_positions())

    def _follow(self) -> None:
        """Follow until stopped, from the sink's positions or from where the thread was; raises what the log raises."""
        self._begin()
        ends = self._ends()
        try:
            while not self._stop.is_set():
                self.step()
                if not self._ready.is_set() and self.view.has_reached(ends):
                    self._ready.set()
        finally:
            self._close()

    def _begin(self) -> None:
        if not self.view.places():
            self.view.start_at(self._starts(), self._coverage_before(self._log))
        self._tail = self._log.tail(self.view.places())

    def _ends(self) -> dict[TopicPartition, int]:
        return {place: self._log.end_offset(*place) for place in self.view.places()}

    def _close(self) -> None:
        tail, self._tail = self._tail, None
        if tail is not None:
            tail.close()

    def step(self) -> None:
        """One turn: what has come, then what the sink has stored meanwhile."""
        assert self._tail is not None
        polled = self._tail.poll(MAX_RECORDS, POLL_TIMEOUT_S)
        if polled:
            batch = [tailed for stored in polled if (tailed := _read(stored)) is not None]
            places = {TopicPartition(item.topic, item.partition): item.offset + 1 for item in polled}
            self.view.take(batch, places)
            metrics.TAIL_RECORDS.inc(len(polled))
            for listener in tuple(self._listeners):
                listener(batch)
        self._look_at_sink()

    def unsunk(self, topic: str, symbol: str, most: int) -> Sequence[Stored] | None:
        """What the sink has not stored yet of the partition that ``symbol`` is in; None: more than ``most`` records.

        What is in the log when this is called is among them, or in the table for whoever looks there afterwards.
        """
        partition = self._log.partition_of(topic, symbol)
        end = self._log.end_offset(topic, partition)
        start = max(self._sink_positions().get((topic, partition), 0), self._log.start_offset(topic, partition))
        return None if end - start > most else self._log.read_range(topic, partition, start, end)

    def _starts(self) -> dict[TopicPartition, int]:
        sunk = self._sink_positions()
        starts = {}
        for topic in _DECODERS:
            for partition in range(self._log.partitions(topic)):
                oldest = self._log.start_offset(topic, partition)
                from_sink = sunk.get((topic, partition), 0) if topic in _FROM_SINK else 0
                starts[TopicPartition(topic, partition)] = max(oldest, from_sink)
        return starts

    def _look_at_sink(self) -> None:
        now = time.monotonic()
        if now - self._looked_at >= SINK_LOOK_S:
            self._looked_at = now
            self.view.forget_sunk(self._sink_positions())


def _read(stored: Stored) -> Tailed | None:
    try:
        return Tailed(stored, _DECODERS[stored.topic](stored.value))
    except codec.Unreadable as error:
        metrics.TAIL_UNREADABLE.inc()
        logger.warning(
            "tail_record_unreadable",
            topic=stored.topic,
            partition=stored.partition,
            offset=stored.offset,
            error=str(error),
            what_to_do="a newer writer? bring this process to the same version",
        )
        return None


# --- the process's own --------------------------------------------------------------------------------

_lock = threading.Lock()
_tail: LogTail | None = None


def get_tail() -> LogTail:
    """The process's tail, started when it is first asked for and stopped at exit."""
    global _tail  # noqa: PLW0603 - the process has one tail
    with _lock:
        if _tail is None:
            from analytics.reading.sources import coverage_before, sink_positions

            _tail = LogTail(open_log(), sink_positions, coverage_before)
            _tail.start()
            _tail.wait_ready(timeout_s=5.0)
            atexit.register(close_tail)
        return _tail


def use_tail(tail: LogTail) -> None:
    """Make this the process's tail (its owner starts and stops it)."""
    global _tail  # noqa: PLW0603 - the process has one tail
    with _lock:
        _tail = tail


def close_tail() -> None:
    """Stop the process's tail; the next ``get_tail`` starts a new one."""
    global _tail  # noqa: PLW0603 - the process has one tail
    with _lock:
        stopped, _tail = _tail, None
    if stopped is not None:
        stopped.stop()
