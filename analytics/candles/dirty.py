"""The buckets that wait to be made again: claimed by one worker at a time, let go only unchanged."""

import datetime as dt
import secrets
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

from django.db.models import Q

from analytics import clock
from analytics.models import Dirty

# Longer than any batch should take; a worker that was killed holds its buckets back for so long.
_CLAIM: Final = dt.timedelta(seconds=30)
_WAIT_FIRST_S: Final = 1.0
_WAIT_MOST_S: Final = 60.0
# Databases limit how many values a statement takes.
_AT_ONCE: Final = 500


def claim(intervals: Sequence[str], most: int) -> list[Dirty]:
    """Up to ``most`` buckets that are due, now the caller's; by interval, symbol and time."""
    token = secrets.token_hex(16)
    due = Dirty.objects.filter(Q(not_before=None) | Q(not_before__lte=clock.now()), interval__in=intervals)
    wanted = list(due.order_by("interval", "symbol", "open_time").values_list("pk", flat=True)[:most])
    for some in _chunks(wanted):
        # Still due: of two workers that saw the same row only one changes it.
        due.filter(pk__in=some).update(claim=token, not_before=clock.later(_CLAIM))
    return list(Dirty.objects.filter(claim=token).order_by("interval", "symbol", "open_time"))


def done(rows: Iterable[Dirty]) -> None:
    """Let the buckets go, except those that were marked again meanwhile."""
    for gen, ids in _by(rows, lambda row: row.gen).items():
        for some in _chunks(ids):
            Dirty.objects.filter(pk__in=some, gen=gen).delete()


def postpone(rows: Iterable[Dirty], delay_s: float | None = None) -> None:
    """Look at the buckets again later: after ``delay_s``, or after a wait that doubles with each try."""
    for (gen, tries), ids in _by(rows, lambda row: (row.gen, row.tries)).items():
        wait_s = min(_WAIT_MOST_S, _WAIT_FIRST_S * 2**tries) if delay_s is None else delay_s
        later = {
            "claim": "",
            "not_before": clock.later(dt.timedelta(seconds=wait_s)),
            "tries": tries + (delay_s is None),
        }
        for some in _chunks(ids):
            Dirty.objects.filter(pk__in=some, gen=gen).update(**later)


def _by(rows, key) -> dict:  # type: ignore[no-untyped-def,type-arg]
    groups = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row.pk)
    return groups


def _chunks(ids: list[int]) -> Iterable[list[int]]:
    return (ids[at : at + _AT_ONCE] for at in range(0, len(ids), _AT_ONCE))
