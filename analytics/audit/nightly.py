"""Whole days, audited by the symbols' own clocks, so that a replay of 2019 has its nights too.

A day is audited once, and again when what is stored of it has changed. Nothing changes that without a record that is
stored as well: a minute's (every revision and verdict is one) or a change of coverage (ids came, left, or were
declared a hole). Their places in the log only rise, so the newest of each, read before an audit looks at anything,
tells later whether the audit still holds. Trades that came while the candles did not follow show by the coverage.

The rows of AuditRun are the truth of it: a kill at any line leaves a row that is running, and after a while it is
made again. Being woken twice, or by two workers, changes nothing.
"""

import datetime as dt
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

import structlog
from django.db.models import Q

from analytics import clock, metrics
from analytics.audit import reads, report
from analytics.audit.day import day_text, start_of
from analytics.audit.findings import Check, Day, Skipped
from analytics.audit.reads import Changes
from analytics.audit.standing import Known, covered_days, known_of
from analytics.audit.walk import LOOK_AGAIN_S, Wish, audit
from analytics.models import AuditRun
from analytics.reading.stored import Span
from ingestion.log.port import Log
from markets.types import DAY_MS, MINUTE_MS

_log = structlog.get_logger(__name__)

# Of feed time after midnight: what came late is stored, rebuilt and judged by then.
SETTLED_MS: Final = 10 * MINUTE_MS
# Days before a symbol's newest that are looked at without being asked for.
DAYS_BACK: Final = 7
# No audit of a day takes so long: what still runs then was killed.
_KILLED_AFTER: Final = dt.timedelta(minutes=10)
# A day is looked at again so often at most: what repairs it takes minutes, and what a backfill brings comes in parts.
_AGAIN_AFTER: Final = dt.timedelta(minutes=30)
_MOST_DETAILS: Final = 20


class Due(NamedTuple):
    """A symbol and UTC day that is to be audited; ``start``: its first moment."""

    symbol: str
    start: int

    @property
    def day(self) -> dt.date:
        return dt.date.fromisoformat(day_text(self.start))

    @property
    def span(self) -> Span:
        return Span(self.start, self.start + DAY_MS)


def audit_due(
    log: Log,
    *,
    budget_s: float,
    look_again_s: Sequence[float] = LOOK_AGAIN_S,
    now: Callable[[], float] = time.monotonic,
) -> bool:
    """Audit the whole days that are due, until the budget is spent; True when some are left."""
    until = now() + budget_s
    for due in _due(log):
        if now() >= until:
            return True
        if _claim(due):
            _audit_one(log, due, look_again_s)
    metrics.AUDIT_LOOKED_AT.set_to_current_time()
    return False


def _due(log: Log) -> Iterator[Due]:
    for known in known_of(log, reads.symbols()):
        if isinstance(known, Known):
            settled = _settled(known.symbol)
            days = dict.fromkeys([*whole_days(known), *_audited(known.symbol)])
            yield from (due for due in days if due.start not in settled)


def whole_days(known: Known) -> Iterator[Due]:
    """The newest days that have ended and settled by the symbol's clock, newest first."""
    newest = (known.closed_to - SETTLED_MS) // DAY_MS * DAY_MS
    covered = set(covered_days(known))
    days = (newest - DAY_MS * number for number in range(1, DAYS_BACK + 1))
    yield from (Due(known.symbol, day) for day in days if day in covered)


def _audited(symbol: str) -> list[Due]:
    """Days of any age that were looked at: until they agree, and when they change, they are looked at again."""
    days = AuditRun.objects.filter(symbol=symbol).order_by("-day").values_list("day", flat=True)
    return [Due(symbol, start_of(day)) for day in days]


def _settled(symbol: str) -> set[int]:
    """The first moments of days that need no audit now: they agree still, are looked at, or were just now."""
    rows = AuditRun.objects.filter(symbol=symbol)
    agreed = rows.filter(state=AuditRun.State.AGREES).values_list("day", "candles_seq", "coverage_seq")
    before = {start_of(day): Changes(*seqs) for day, *seqs in agreed}
    settled = {start_of(day) for day in rows.filter(_busy()).values_list("day", flat=True)}
    if before:
        stored = reads.changes(symbol, Span(min(before), max(before) + DAY_MS))
        settled |= {start for start, seen in before.items() if stored.get(start, Changes()) == seen}
    return settled


def _busy() -> Q:
    """Rows of which somebody audits the day, or did just now."""
    running = Q(state=AuditRun.State.RUNNING, started_at__gt=clock.later(-_KILLED_AFTER))
    return running | Q(finished_at__gt=clock.later(-_AGAIN_AFTER))


def _claim(due: Due) -> bool:
    """Make the day ours; False when another worker was faster."""
    row, _ = AuditRun.objects.get_or_create(symbol=due.symbol, day=due.day)
    free = AuditRun.objects.filter(~_busy(), pk=row.pk)
    return bool(free.update(state=AuditRun.State.RUNNING, started_at=clock.now(), finished_at=None))


def _audit_one(log: Log, due: Due, look_again_s: Sequence[float]) -> None:
    wish = Wish([due.symbol], *due.span)
    try:
        # Before the first look: what is stored from now on may be seen or not.
        seen = reads.changes(due.symbol, due.span).get(due.start, Changes())
        for found in audit(log, wish, look_again_s=look_again_s):
            _keep(due, found, seen)
    except Exception as error:
        AuditRun.objects.filter(symbol=due.symbol, day=due.day).update(
            state=AuditRun.State.FAILED,
            finished_at=clock.now(),
            details=f"{type(error).__name__}: {error}"[:2000],
        )
        metrics.AUDITED_DAYS.labels(AuditRun.State.FAILED.value).inc()
        raise
    show_differences()


def _keep(due: Due, found: Day | Skipped, seen: Changes) -> None:
    if isinstance(found, Skipped):
        state, fields = AuditRun.State.FAILED, {"details": found.why}
    else:
        state = AuditRun.State.DIFFERS if found.differences else AuditRun.State.AGREES
        fields = _figures(found)
        _tell(found)
    metrics.AUDITED_DAYS.labels(state.value).inc()
    AuditRun.objects.filter(symbol=due.symbol, day=due.day).update(
        state=state, finished_at=clock.now(), **seen._asdict(), **fields
    )


def _figures(day: Day) -> dict[str, object]:
    names = ("trades", "candles", "certified", "disputed", "missing", "holes", "waiting", "digest")
    return {name: getattr(day, name) for name in names} | {
        "differences": len(day.differences),
        "found": report.counts([day]),
        "details": "\n".join(report.lines([day])[:_MOST_DETAILS]),
    }


def _tell(day: Day) -> None:
    if day.differences:
        _log.error(
            "stored data differs",
            symbol=day.symbol,
            day=day.day,
            differences=report.counts([day]),
            first=day.differences[0].what,
            hint=f"manage.py audit --symbol {day.symbol} --day {day.day} lists them; with --repair they are repaired",
        )
    else:
        _log.info("stored data agrees", symbol=day.symbol, day=day.day, candles=day.candles, certified=day.certified)


def show_differences() -> None:
    """Set the metric to what the newest audit of each day found."""
    totals = dict.fromkeys((check.value for check in Check), 0)
    for found in AuditRun.objects.filter(state=AuditRun.State.DIFFERS).values_list("found", flat=True):
        for check, count in found.items():
            totals[check] = totals.get(check, 0) + count
    for check, count in totals.items():
        metrics.AUDIT_DIFFERENCES.labels(check).set(count)
