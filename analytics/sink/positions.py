"""How far the sink is: leases and places, changed by compare-and-set in the database only.

A lease is a hint that saves work; correctness comes from the advance, which fails unless the lease is still
its own, and from the tables' natural keys.
"""

import datetime as dt
import secrets
import time
from collections.abc import Iterable
from itertools import islice

import structlog
from django.db import connection, transaction
from django.db.models import F, Q

from analytics import clock
from analytics.models import Dirty, SinkPosition
from analytics.sink.marks import Mark, Marks, Minutes
from markets.types import MINUTE_MS, Interval

_log = structlog.get_logger(__name__)

# Longer than any load should take; after a SIGKILL nobody touches the partition for so long.
LEASE = dt.timedelta(seconds=30)
_RETRY_FIRST_S = 1.0
_RETRY_MOST_S = 60.0
_ERROR_MOST = 2_000
_MARKS_AT_ONCE = 1_000
_GEN_BITS = 21


class LeaseLost(Exception):
    """Somebody else has taken the partition meanwhile: nothing was changed."""


def take_lease(topic_id: str, topic: str, partition: int, start: int) -> SinkPosition | None:
    """The partition's row, leased to the caller; None while somebody else has it or a retry is not due.

    ``start``: the place at which a partition begins that was never stored.
    """
    row, _ = SinkPosition.objects.get_or_create(
        topic_id=topic_id, partition=partition, defaults={"topic": topic, "next_offset": start}
    )
    token = secrets.token_hex(16)
    free = Q(lease_until=None) | Q(lease_until__lte=clock.now())
    due = Q(retry_at=None) | Q(retry_at__lte=clock.now())
    leased = {"lease_until": clock.later(LEASE), "lease_token": token}
    taken = SinkPosition.objects.filter(free, due, pk=row.pk).update(**leased)
    # Read after the lease is ours: the holder before may have advanced since the first look.
    return SinkPosition.objects.get(pk=row.pk, lease_token=token) if taken else None


def advance(held: SinkPosition, next_offset: int, marks: Marks) -> None:
    """Move the place and mark the dirty buckets in one transaction; the lease stays. Raises LeaseLost."""
    with transaction.atomic():
        moved = SinkPosition.objects.filter(pk=held.pk, lease_token=held.lease_token).update(
            next_offset=next_offset, attempts=0, error="", retry_at=None, lease_until=clock.later(LEASE)
        )
        if not moved:
            raise LeaseLost(str(held))
        mark_dirty(marks)
    held.next_offset = next_offset


def mark_dirty(marks: Marks) -> None:
    """Ask for the buckets to be made again, at once; a bucket that is asked for already is asked anew."""
    gen = new_gen(time.time_ns() // 1_000_000 if marks.arrived_ms is None else marks.arrived_ms)
    _mark_buckets(marks.buckets, gen, marks.trades_to)
    for span in marks.spans:
        _mark_span(span, gen, marks.trades_to)


def new_gen(arrived_ms: int) -> int:
    """A name for a round of marks: never the same twice, and it tells when what asked for them came."""
    return arrived_ms << _GEN_BITS | secrets.randbits(_GEN_BITS)


def arrived_ms(gen: int) -> int:
    """When the record came that asked for a bucket last; the machine's clock."""
    return gen >> _GEN_BITS


def _mark_buckets(buckets: Iterable[Mark], gen: int, trades_to: int | None) -> None:
    rest = iter(buckets)
    fields = ["gen", "not_before", "claim", "tries"] + (["trades_to"] if trades_to is not None else [])
    while some := dict.fromkeys(islice(rest, _MARKS_AT_ONCE)):
        Dirty.objects.bulk_create(
            [Dirty(**mark._asdict(), gen=gen, trades_to=trades_to or 0) for mark in some],
            update_conflicts=True,
            unique_fields=["interval", "symbol", "open_time"],
            update_fields=fields,
        )


# One statement for a span of any length; both databases speak it.
_MARK_SPAN = """
WITH RECURSIVE minute(open_time) AS (
    SELECT CAST(%(first)s AS bigint)
    UNION ALL
    SELECT open_time + %(width)s FROM minute WHERE open_time < %(last)s
)
INSERT INTO analytics_dirty (symbol, interval, open_time, gen, trades_to, claim, tries)
SELECT %(symbol)s, %(interval)s, open_time, %(gen)s, %(trades_to)s, '', 0 FROM minute WHERE true
ON CONFLICT (interval, symbol, open_time) DO UPDATE SET
    gen = excluded.gen, trades_to = excluded.trades_to, claim = '', tries = 0, not_before = NULL
"""


def _mark_span(span: Minutes, gen: int, trades_to: int | None) -> None:
    values = {"width": MINUTE_MS, "interval": Interval.M1.value, "gen": gen, "trades_to": trades_to or 0}
    with connection.cursor() as cursor:
        cursor.execute(_MARK_SPAN, span._asdict() | values)


def release(held: SinkPosition) -> None:
    """Give the lease back, if it is still ours."""
    SinkPosition.objects.filter(pk=held.pk, lease_token=held.lease_token).update(lease_token="", lease_until=None)


def give_up(held: SinkPosition, error: Exception, jitter: float) -> float:
    """Keep the error, give the lease back and wait; the answer is for how many seconds.

    ``jitter``: 0 to 1, so that many partitions do not come back at the same moment.
    """
    delay = min(_RETRY_MOST_S, _RETRY_FIRST_S * 2**held.attempts) * (0.5 + jitter / 2)
    SinkPosition.objects.filter(pk=held.pk, lease_token=held.lease_token).update(
        attempts=F("attempts") + 1,
        error=f"{type(error).__name__}: {error}"[:_ERROR_MOST],
        retry_at=clock.later(dt.timedelta(seconds=delay)),
        lease_token="",
        lease_until=None,
    )
    return delay


def break_leases() -> None:
    """Forget all leases, claims and waits. Only at the start of a process that owns its database alone."""
    SinkPosition.objects.update(lease_token="", lease_until=None, retry_at=None)
    Dirty.objects.exclude(claim="").update(claim="", not_before=None)
