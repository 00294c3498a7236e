"""The role that wakes the tasks: it watches how far the log is and how far the tables are, and stores nothing.

A wake-up that is lost, with the queue or without it, is given again after seconds.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import structlog
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connection
from django.db.models import Q
from kombu.exceptions import OperationalError as QueueError

from analytics import clock, metrics
from analytics.candles.tasks import rebuild, roll_up
from analytics.indicators import update as indicator_update
from analytics.indicators.tasks import indicators
from analytics.models import Dirty, SinkPosition
from analytics.sink import positions
from analytics.sink.tables import ROUTES
from analytics.sink.tasks import sink
from ingestion.backfill import metrics as backfill_metrics
from ingestion.backfill import store as backfills
from ingestion.backfill.tasks import backfill
from ingestion.log.port import Log, TopicPartition
from ingestion.log.topics import GROUP_SINK
from ingestion.roles import Pulse, Role
from markets.types import Interval

_log = structlog.get_logger(__name__)

# How often the ends are looked at (no I/O when embedded), and the rest at the latest.
_LOOK_S: Final = 0.2
_REFRESH_S: Final = 5.0
_DIRTY_S: Final = 1.0
# A wake-up that moved nothing for so long was lost.
_WAKE_AGAIN_S: Final = 5.0
_WAKE_EXPIRES_S: Final = 30
_TROUBLE_WAIT_S: Final = 1.0
_LATE_LAG: Final = 200_000


@dataclass(frozen=True, slots=True)
class WakePolicy:
    """When a backlog is worth a task: big enough, or waiting for long enough."""

    max_rows: int
    max_delay_s: float

    def is_due(self, backlog: int, waits_s: float) -> bool:
        return backlog >= self.max_rows or (backlog > 0 and waits_s >= self.max_delay_s)


@dataclass(slots=True)
class Watched:
    """A partition as the dispatcher sees it; times are of a monotonic clock."""

    end: int = 0
    next_offset: int = 0
    waits_since: float | None = None
    woken_at: float = float("-inf")
    busy: bool = False
    attempts: int = 0

    @property
    def backlog(self) -> int:
        return max(0, self.end - self.next_offset)


class Wakes:
    """How tasks are woken. Celery's default; tests give their own."""

    def sink(self, topic: str, partition: int) -> None:
        sink.apply_async((topic, partition), retry=False, expires=_WAKE_EXPIRES_S)

    def rebuild(self) -> None:
        rebuild.apply_async(retry=False, expires=_WAKE_EXPIRES_S)

    def roll_up(self) -> None:
        roll_up.apply_async(retry=False, expires=_WAKE_EXPIRES_S)

    def indicators(self, topic: str, partition: int) -> None:
        indicators.apply_async((topic, partition), retry=False, expires=_WAKE_EXPIRES_S)

    def backfill(self) -> None:
        backfill.apply_async(retry=False, expires=_WAKE_EXPIRES_S)


class DispatchSink(Role):
    """Wakes the sink for partitions with a backlog, the rebuilds and roll-ups of dirty buckets, and the backfills."""

    name = "dispatch"

    def __init__(
        self,
        log: Log,
        policy: WakePolicy,
        *,
        wakes: Wakes | None = None,
        now: Callable[[], float] = time.monotonic,
        look_s: float = _LOOK_S,
    ) -> None:
        self._log = log
        self._policy = policy
        self._wakes = wakes or Wakes()
        self._now = now
        self._look_s = look_s
        self._stop = threading.Event()
        self._places: dict[TopicPartition, Watched] = {}
        self._refreshed_at = float("-inf")
        self._dirty_at = float("-inf")
        self._computed: dict[TopicPartition, int] = {}
        self._indicators_woken: dict[TopicPartition, float] = {}
        self._processed = 0
        self._moved_ms: int | None = None
        self._trouble = ""

    def run(self, stop: threading.Event) -> None:
        """Step until ``stop``. What is not stored then stays in the log for the next start."""
        self._stop = stop
        super().run(stop)

    def step(self) -> None:
        """One look at everything; wakes what is due."""
        try:
            self._look()
            self._trouble = ""
        except (DatabaseError, QueueError, OSError) as error:
            self._stumble(error)
        self._stop.wait(self._look_s)

    def drain(self) -> None:
        """Give the database connection back."""
        connection.close()

    def pulse(self) -> Pulse:
        """``processed``: records stored since the start; ``lag``: records that wait."""
        places = dict(self._places)
        lag = sum(place.backlog for place in places.values())
        failing = [f"{key.topic}: attempt {place.attempts}" for key, place in places.items() if place.attempts]
        detail = "; ".join([self._trouble] * bool(self._trouble) + failing)
        status = "degraded" if detail or lag > _LATE_LAG else "ok"
        return Pulse(self._processed, lag, self._moved_ms, status, detail)

    def _look(self) -> None:
        if not self._places:
            self._begin()
        now = self._now()
        moved = self._take_ends()
        waits = any(place.backlog for place in self._places.values())
        if moved or waits or now - self._refreshed_at >= _REFRESH_S:
            self._take_positions(now)
        for key, place in self._places.items():
            self._wake_if_due(key, place, now)
        if now - self._dirty_at >= _DIRTY_S:
            self._dirty_at = now
            self._wake_dirty()
            self._wake_indicators(now)
            self._wake_backfills()

    def _begin(self) -> None:
        if settings.STREAMLOOM_MODE == "embedded":
            # This process owns the database: whoever held a lease is gone.
            positions.break_leases()
            backfills.break_leases()
        self._places = {
            TopicPartition(topic, partition): Watched()
            for topic in ROUTES
            for partition in range(self._log.partitions(topic))
        }
        rows = self._rows()
        self._log.report(GROUP_SINK, {place: row.next_offset for place, row in rows.items()})
        for key, place in self._places.items():
            row = rows.get(key)
            place.next_offset = self._log.start_offset(*key) if row is None else row.next_offset

    def _take_ends(self) -> bool:
        moved = False
        for key, place in self._places.items():
            end = self._log.end_offset(*key)
            moved = moved or end != place.end
            place.end = end
        if moved:
            self._moved_ms = time.time_ns() // 1_000_000
        return moved

    def _take_positions(self, now: float) -> None:
        self._refreshed_at = now
        rows = self._rows()
        busy = self._busy()
        for key, place in self._places.items():
            row = rows.get(key)
            if row is not None:
                self._take_row(place, row, now)
                place.busy = row.pk in busy
            metrics.SINK_BACKLOG.labels(*key).set(place.backlog)

    def _rows(self) -> Mapping[TopicPartition, SinkPosition]:
        topic_ids = {self._log.topic_id(topic) for topic in ROUTES}
        return {
            TopicPartition(row.topic, row.partition): row for row in SinkPosition.objects.filter(topic_id__in=topic_ids)
        }

    def _busy(self) -> set[int]:
        """The rows that somebody works on, or that wait before the next try."""
        now = clock.now()
        return set(
            SinkPosition.objects.filter(Q(lease_until__gt=now) | Q(retry_at__gt=now)).values_list("pk", flat=True)
        )

    def _take_row(self, place: Watched, row: SinkPosition, now: float) -> None:
        if row.next_offset != place.next_offset:
            self._processed += max(0, row.next_offset - place.next_offset)
            place.next_offset = row.next_offset
            place.woken_at = float("-inf")
            place.waits_since = now if place.backlog else None
        place.attempts = row.attempts

    def _wake_if_due(self, key: TopicPartition, place: Watched, now: float) -> None:
        if not place.backlog:
            place.waits_since = None
            return
        if place.waits_since is None:
            place.waits_since = now
        if place.busy or now - place.woken_at < _WAKE_AGAIN_S:
            return
        if self._policy.is_due(place.backlog, now - place.waits_since):
            self._wakes.sink(key.topic, key.partition)
            place.woken_at = now

    def _wake_dirty(self) -> None:
        due = Q(not_before=None) | Q(not_before__lte=clock.now())
        intervals = set(Dirty.objects.filter(due).values_list("interval", flat=True).distinct())
        metrics.DIRTY_BUCKETS.set(Dirty.objects.count())
        if Interval.M1 in intervals:
            self._wakes.rebuild()
        if intervals - {Interval.M1}:
            self._wakes.roll_up()

    def _wake_backfills(self) -> None:
        unfinished = backfills.unfinished()
        backfill_metrics.UNFINISHED.set(unfinished)
        if unfinished and backfills.is_due():
            self._wakes.backfill()

    def _wake_indicators(self, now: float) -> None:
        """For the partitions whose klines are stored and whose indicators are not computed that far."""
        stored = {key: place.next_offset for key, place in self._places.items() if key.topic in indicator_update.TOPICS}
        if stored == self._computed:
            return
        done = indicator_update.places(self._log)
        behind = [key for key, end in stored.items() if end > done.get(key, self._log.start_offset(*key))]
        for key in behind:
            if now - self._indicators_woken.get(key, float("-inf")) >= _WAKE_AGAIN_S:
                self._indicators_woken[key] = now
                self._wakes.indicators(key.topic, key.partition)
        if not behind:
            self._computed, self._indicators_woken = stored, {}

    def _stumble(self, error: Exception) -> None:
        metrics.WAKE_FAILURES.inc()
        self._trouble = f"cannot dispatch: {type(error).__name__}"
        _log.warning(
            "dispatching failed, trying again",
            error=str(error),
            retry_in_s=_TROUBLE_WAIT_S,
            hint="are the database and the queue (REDIS_URL) up?",
        )
        connection.close()
        self._stop.wait(_TROUBLE_WAIT_S)


def make_dispatch(log: Log) -> DispatchSink:
    """The role as the settings want it."""
    return DispatchSink(log, WakePolicy(settings.SINK_MAX_ROWS, settings.SINK_MAX_DELAY_S))
