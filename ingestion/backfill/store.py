"""The ``Backfill`` rows: asked for, leased, moved on, ended. A lease is taken by compare-and-set in the database.

A row that the operator cancels loses its worker with the worker's next ``keep``: that one changes nothing any more.
"""

import datetime as dt
import secrets
from collections.abc import Sequence

from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Coalesce

from ingestion import clock
from ingestion.models import ArchiveUse, Backfill

# Longer than any single wait of a slice; after a SIGKILL nobody touches the row for so long.
LEASE = dt.timedelta(seconds=60)
UNFINISHED = (Backfill.State.QUEUED, Backfill.State.RUNNING)
_RETRY_FIRST_S = 2.0
_RETRY_MOST_S = 300.0
_ERROR_MOST = 2_000
_NOTE_MOST = 400
_ABSENT_SHOWN = 50
_KEPT = (
    "note", "plan", "place", "total_steps", "done_steps", "part", "trades_sent", "klines_sent", "bad_rows",
    "absent", "absent_count", "bad_files", "busy_s", "attempts", "error",
)  # fmt: skip


class Stopped(Exception):
    """The row is not the caller's any more: it was cancelled, or somebody else has taken it."""


class NotAllowed(ValueError):
    """The backfill cannot be asked for; the text says why."""


def queue(
    symbol: str,
    from_time: dt.datetime,
    to_time: dt.datetime | None = None,
    *,
    trades: bool = True,
    klines: bool = True,
    seconds: bool = False,
) -> Backfill:
    """Ask for history. Raises NotAllowed."""
    row = Backfill(
        symbol=symbol, from_time=from_time, to_time=to_time, trades=trades, klines=klines, seconds=seconds
    )  # fmt: skip
    with transaction.atomic():
        check(row)
        row.save()
    return row


def check(row: Backfill) -> None:
    """Raises NotAllowed for what makes no sense, whoever asks."""
    if not (row.trades or row.klines):
        raise NotAllowed("neither trades nor klines are asked for")
    if row.from_time >= dt.datetime.now(dt.UTC):
        raise NotAllowed("the time to begin at has not come yet")
    if row.to_time is not None and row.to_time <= row.from_time:
        raise NotAllowed("the end must be later than the beginning")
    other = Backfill.objects.filter(symbol=row.symbol, state__in=UNFINISHED).exclude(pk=row.pk).first()
    if other is not None:
        raise NotAllowed(
            f"{row.symbol} has a backfill that is {other.state} (number {other.pk}): let it end, or cancel it"
        )


def is_due() -> bool:
    """True when a slice of work could begin now."""
    return _due().exists() and not _leased().exists()


def unfinished() -> int:
    """How many rows are queued or running."""
    return Backfill.objects.filter(state__in=UNFINISHED).count()


def take(pk: int | None = None) -> Backfill | None:
    """The oldest due row (or that one), leased to the caller; None while there is none, or another one is worked on.

    One at a time: a second one would only share the room that live data leaves.
    """
    if pk is None and _leased().exists():
        return None
    rows = _due() if pk is None else _due().filter(pk=pk)
    found = rows.order_by("created_at", "pk").values_list("pk", flat=True).first()
    if found is None:
        return None
    token = secrets.token_hex(16)
    taken = _due().filter(pk=found).update(
        lease_token=token,
        lease_until=clock.later(LEASE),
        state=Backfill.State.RUNNING,
        started_at=Coalesce("started_at", clock.now()),
    )  # fmt: skip
    return Backfill.objects.get(pk=found, lease_token=token) if taken else None


def moved(row: Backfill) -> None:
    """More of it is done for good: what went wrong before counts no more. Saved with the next change.

    Time that has passed is no such sign: what fails at the same place again and again takes its seconds, too.
    """
    row.attempts, row.error = 0, ""


def keep(row: Backfill) -> None:
    """Save how far it is, and keep the lease. Raises Stopped."""
    _change(row, retry_at=None, lease_until=clock.later(LEASE), **_progress(row))


def release(row: Backfill) -> None:
    """Save how far it is and let the next slice begin. Raises Stopped."""
    _change(row, lease_token="", lease_until=None, **_progress(row))


def wait(row: Backfill, seconds: float, note: str) -> None:
    """Save how far it is; the next slice begins after so long, and ``note`` says why. Raises Stopped."""
    row.note = note[:_NOTE_MOST]
    retry_at = clock.later(dt.timedelta(seconds=seconds))
    _change(row, lease_token="", lease_until=None, retry_at=retry_at, **_progress(row))


def give_up(row: Backfill, error: str, jitter: float) -> float:
    """Save how far it is and the error; the answer is after how many seconds it is tried again. Raises Stopped.

    ``jitter``: 0 to 1.
    """
    delay = min(_RETRY_MOST_S, _RETRY_FIRST_S * 2 ** min(row.attempts, 30)) * (0.5 + jitter / 2)
    row.attempts, row.error = row.attempts + 1, error[:_ERROR_MOST]
    _change(
        row,
        retry_at=clock.later(dt.timedelta(seconds=delay)),
        lease_token="",
        lease_until=None,
        **_progress(row),
    )
    return delay


def finish(row: Backfill, error: str = "") -> None:
    """It is done, or it failed for good with this error. Raises Stopped."""
    row.state = Backfill.State.FAILED if error else Backfill.State.DONE
    row.error = error[:_ERROR_MOST]
    _change(
        row,
        state=row.state,
        finished_at=clock.now(),
        lease_token="",
        lease_until=None,
        retry_at=None,
        **_progress(row),
    )


def cancel(pks: Sequence[int]) -> int:
    """Cancel those that are not over; how many that were. Whoever works on one notices within seconds."""
    return Backfill.objects.filter(pk__in=pks, state__in=UNFINISHED).update(
        state=Backfill.State.CANCELLED, finished_at=clock.now(), lease_token="", lease_until=None, retry_at=None
    )


def retry(pks: Sequence[int]) -> int:
    """Begin those anew that are over: only what is missing still is brought. How many that were."""
    return Backfill.objects.filter(pk__in=pks).exclude(state__in=UNFINISHED).update(
        state=Backfill.State.QUEUED, note="", error="", plan={}, place={}, total_steps=0, done_steps=0, part=0,
        trades_sent=0, klines_sent=0, bad_rows=0, absent=[], absent_count=0, bad_files=0, busy_s=0, attempts=0,
        started_at=None, finished_at=None, retry_at=None, lease_token="", lease_until=None,
    )  # fmt: skip


def break_leases() -> None:
    """Forget leases and waits. Only at the start of a process that owns its database alone."""
    Backfill.objects.filter(state__in=UNFINISHED).update(lease_token="", lease_until=None, retry_at=None)


def note_absent(row: Backfill, name: str) -> None:
    """A file is not in the archive; the first ones are named."""
    row.absent_count += 1
    if len(row.absent) < _ABSENT_SHOWN:
        row.absent = [*row.absent, name]


def note_use(name: str, sha256: str, rows: int) -> str:
    """Keep the checksum of a file that was used; the one that it had before, if that was another."""
    known = ArchiveUse.objects.filter(name=name).first()
    before = known.sha256 if known is not None and known.sha256 != sha256 else ""
    replaced = before or (known.replaced if known is not None else "")
    ArchiveUse.objects.update_or_create(name=name, defaults={"sha256": sha256, "rows": rows, "replaced": replaced})
    return before


def _due() -> QuerySet[Backfill]:
    now = clock.now()
    free = Q(lease_until=None) | Q(lease_until__lte=now)
    due = Q(retry_at=None) | Q(retry_at__lte=now)
    return Backfill.objects.filter(free, due, state__in=UNFINISHED)


def _leased() -> QuerySet[Backfill]:
    return Backfill.objects.filter(lease_until__gt=clock.now(), state__in=UNFINISHED)


def _progress(row: Backfill) -> dict[str, object]:
    return {name: getattr(row, name) for name in _KEPT}


def _change(row: Backfill, **fields: object) -> None:
    held = Backfill.objects.filter(pk=row.pk, lease_token=row.lease_token, state=Backfill.State.RUNNING)
    if not held.update(updated_at=clock.now(), **fields):
        raise Stopped(str(row))
