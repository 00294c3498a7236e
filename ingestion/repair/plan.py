"""What to ask next. Pure."""

from collections.abc import Iterable
from typing import Final

from ingestion.pipeline.records import HISTORY
from ingestion.repair.work import SymbolWork, Tail, Target

# A page holds a thousand rows: what is missing so little below the target comes with the same page.
_SAME_PAGE_IDS: Final = 900


def next_question(works: Iterable[SymbolWork], now_s: float) -> tuple[SymbolWork, Target] | None:
    """The due target to ask for: history last, then who was not asked for longest, then the newest.

    Many small gaps are asked for together: the lowest one whose page reaches up to the one whose turn it is.
    """
    due = ((work, target) for work in works for target in work.targets() if target.due_s <= now_s)
    first = min(due, key=lambda found: _turn(found[1]), default=None)
    return None if first is None else (first[0], _lowest_on_page(*first, now_s))


def _turn(target: Target) -> tuple[bool, int, int]:
    return target.cause in HISTORY, target.served, -target.time


def _lowest_on_page(work: SymbolWork, target: Target, now_s: float) -> Target:
    if isinstance(target, Tail):
        return target
    reach = range(target.from_id - _SAME_PAGE_IDS, target.from_id + 1)
    return min(
        (other for other in (*work.missing, *work.suspects) if other.from_id in reach and other.due_s <= now_s),
        key=lambda other: other.from_id,
    )


def next_due_s(works: Iterable[SymbolWork]) -> float | None:
    """When the next target is due; None when there is nothing to do."""
    return min((target.due_s for work in works for target in work.targets()), default=None)
