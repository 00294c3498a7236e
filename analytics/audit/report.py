"""What was found, for people and for machines."""

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.table import Table

from analytics.audit.findings import ADVICE, Day, Difference, Remedy, Skipped

_MOST_LINES: Final = 20


def as_json(days: Sequence[Day], skipped: Sequence[Skipped], asked: dict[Remedy, int] | None) -> bytes:
    """One object: ``agrees``, ``differences`` by check, ``days``, ``skipped``, and what was ``asked`` for.

    Its shape is told in docs/truth.md. Times are epoch milliseconds.
    """
    answer = {
        "agrees": agrees(days),
        "differences": counts(days),
        "days": [day_json(day) for day in days],
        "skipped": skipped,
        "asked": asked,
    }
    return msgspec.json.format(msgspec.json.encode(answer), indent=1)


def day_json(day: Day) -> dict[str, Any]:
    """A day without what only ``--repair`` needs."""
    found: dict[str, Any] = msgspec.to_builtins(day)
    del found["restated"]
    return found


def agrees(days: Iterable[Day]) -> bool:
    return not any(day.differences for day in days)


def counts(days: Iterable[Day]) -> dict[str, int]:
    """How many differences each check found."""
    return dict(Counter(one.check.value for day in days for one in day.differences))


def table(days: Sequence[Day]) -> Table:
    """One row a symbol and day."""
    made = Table("symbol", "day", "until", title="Stored data, checked", title_justify="left")
    for name in ("trades", "candles", "certified", "disputed", "missing", "holes", "waiting", "differences"):
        made.add_column(name, justify="right")
    for day in sorted(days, key=lambda one: (one.symbol, one.day)):
        numbers = (day.trades, day.candles, day.certified, day.disputed, day.missing, day.holes, day.waiting)
        wrong = len(day.differences)
        made.add_row(
            day.symbol,
            day.day,
            "whole day" if not day.until % 86_400_000 else _time(day.until),
            *(f"{number:,}" for number in numbers),
            f"[bold red]{wrong:,}[/]" if wrong else "0",
        )
    return made


def lines(days: Iterable[Day]) -> list[str]:
    """What differs, with what to do, and which candles are told as disputed; the first ones of each day."""
    told: list[str] = []
    for day in days:
        for one in day.differences[:_MOST_LINES]:
            told.append(f"{one.symbol} {day.day} {_place(one)}: {one.what}{_fields(one.fields)}")
            told.append(f"  → {ADVICE[one.remedy]}")
        if len(day.differences) > _MOST_LINES:
            told.append(f"{day.symbol} {day.day}: {len(day.differences) - _MOST_LINES:,} more; --json lists them all")
        told += [
            f"{day.symbol} {day.day} {dispute.interval} {_time(dispute.open_time)}: disputed, and told as such"
            f"{_fields(dispute.fields)}"
            for dispute in day.disputes[:_MOST_LINES]
        ]
        told += _notes(day)
    return told


def _notes(day: Day) -> list[str]:
    """What is worth knowing and no difference."""
    notes = []
    if day.uncertified:
        notes.append(
            f"{day.symbol} {day.day}: {day.uncertified:,} minutes equal the exchange's and have no verdict yet"
        )
    for one in day.reports[:_MOST_LINES]:
        place = f"{day.symbol} {day.day} {one.interval} {_time(one.open_time)}"
        notes.append(
            f"{place}: the exchange's own reports differ ({', '.join(one.sources)}); the better one is compared"
        )
    return notes


def _place(one: Difference) -> str:
    if one.open_time is not None:
        return f"{one.interval} {_time(one.open_time)}"
    return f"ids {one.from_id}..{one.to_id}"


def _fields(fields: dict[str, list[str]] | None) -> str:
    return "".join(f"; {name} {mine} instead of {other}" for name, (mine, other) in (fields or {}).items())


def _time(time_ms: int) -> str:
    return dt.datetime.fromtimestamp(time_ms / 1000, tz=dt.UTC).strftime("%H:%M")


def show(console: Console, days: Sequence[Day], skipped: Sequence[Skipped], asked: dict[Remedy, int] | None) -> None:
    """All of it for people: the table, what differs, and one line that says how it stands."""
    console.print(table(days))
    for line in lines(days):
        console.print(line, markup=False, soft_wrap=True)
    for one in skipped:
        console.print(f"{one.symbol} was not looked at: {one.why}", markup=False, soft_wrap=True)
    for remedy, count in (asked or {}).items():
        console.print(f"asked for: {count:,} × {remedy.value}", markup=False)
    console.print(verdict(days), markup=False)


def verdict(days: Sequence[Day]) -> str:
    """How it stands, in one line."""
    candles, certified = sum(day.candles for day in days), sum(day.certified for day in days)
    missing, holes = sum(day.missing for day in days), sum(day.holes for day in days)
    known = f"{certified:,} of {candles:,} candles certified, {missing:,} ids missing, {holes:,} in holes"
    if agrees(days):
        return f"Everything that is stored agrees: {known}."
    found = ", ".join(f"{count:,} {check}" for check, count in counts(days).items())
    return f"Differences: {found}. ({known}.)"
