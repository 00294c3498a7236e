"""Which symbols and days are looked at, and what is told of them.

While data is arriving, tables and log are read at different moments: a day that differs is looked at again, and only
what differs every time is told.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import msgspec

from analytics.audit import reads, standing
from analytics.audit.day import audit_day
from analytics.audit.findings import Day, Skipped
from analytics.audit.standing import Known, known_of
from ingestion.log.port import Log

# Seconds before each further look: longer than the sink, a rebuild and a verdict take together when all is well.
LOOK_AGAIN_S: Final = (2.0, 5.0, 10.0)

_never = threading.Event()


class Wish(NamedTuple):
    """What is to be looked at: these symbols (None: all), and days that begin in ``[start, end)`` (None: no bound)."""

    symbols: Sequence[str] | None = None
    start: int | None = None
    end: int | None = None

    def holds(self, day: int) -> bool:
        return (self.start is None or day >= self.start) and (self.end is None or day < self.end)


def audit(
    log: Log,
    wish: Wish,
    *,
    look_again_s: Sequence[float] = (),
    wait: Callable[[float], object] = _never.wait,
) -> Iterator[Day | Skipped]:
    """Every day of the wish, symbol by symbol; days that differ come last, when they have been looked at again."""
    suspects: list[Day] = []
    for known in known_of(log, reads.symbols() if wish.symbols is None else wish.symbols):
        if isinstance(known, Skipped):
            yield known
            continue
        for start in filter(wish.holds, standing.days_of(known)):
            day = audit_day(known, start)
            if day.differences and look_again_s:
                suspects.append(day)
            else:
                yield day
    for pause_s in look_again_s:
        if suspects:
            wait(pause_s)
            suspects = [_agreed(before, again) for before, again in _looked_again(log, suspects)]
            yield from (day for day in suspects if not day.differences)
            suspects = [day for day in suspects if day.differences]
    yield from suspects


def _looked_again(log: Log, days: Iterable[Day]) -> Iterator[tuple[Day, Day]]:
    by_symbol: dict[str, list[Day]] = {}
    for day in days:
        by_symbol.setdefault(day.symbol, []).append(day)
    for known in known_of(log, by_symbol):
        for day in by_symbol[known.symbol]:
            # Behind for a moment: what was seen stays a suspicion.
            yield day, audit_day(known, day.start) if isinstance(known, Known) else day


def _agreed(before: Day, again: Day) -> Day:
    """The later look, with what differed in both."""
    places = {difference.place for difference in before.differences}
    both = tuple(difference for difference in again.differences if difference.place in places)
    return msgspec.structs.replace(again, differences=both)
