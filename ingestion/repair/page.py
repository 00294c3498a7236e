"""What one page of REST rows proves.

Only what lies between two rows of a page is known: it is there, or it was skipped. Below the first row nothing is known
(the exchange answers ids below its reach with the first it has), above the last row neither (REST lags). A page may
speak of more than the gap it was asked for, and all of it is used.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from ingestion.pipeline.coverage import BEYOND_REST, REPAIRING
from ingestion.pipeline.records import Trade
from ingestion.repair.runs import Range, insert, joined, outside, overlapping, skipped, without
from ingestion.repair.work import Missing, Policy, Suspect, SymbolWork, Tail, Target

# A tail that brings nothing new so often is no tail: REST has what we have.
_TAIL_FAILURES: Final = 6


@dataclass
class Findings:
    """What a page brought: trades to append, holes to declare, ids that REST turned out not to reach.

    ``asked``: ids that were asked for and did not come, with what readers are to be told of them, once each.
    """

    trades: list[Trade] = field(default_factory=list)
    holes: list[Range] = field(default_factory=list)
    beyond: list[Range] = field(default_factory=list)
    asked: list[tuple[int, int, str]] = field(default_factory=list)


def take_page(work: SymbolWork, target: Target, rows: Sequence[Trade], now_s: float, policy: Policy) -> Findings:
    """Apply the answer to ``target``'s question to the work.

    ``rows`` ascend by id and start at ``target.ask_from`` or above.
    """
    if not rows:
        _postpone(work, target, now_s, policy)
        return Findings(asked=_untold(work, target, ()))
    ids = [row.trade_id for row in rows]
    found = Findings(trades=_wanted(work, target, rows, ids))
    found.holes = _confirm(work, ids, now_s, policy)
    if isinstance(target, Suspect):
        _reconsider(work, target, ids, now_s, policy)
    elif isinstance(target, Tail):
        _follow(work, target, rows[-1], now_s, policy)
    found.beyond = _settle(work, target, ids, now_s, policy)
    found.asked = _untold(work, target, ids)
    return found


def _untold(work: SymbolWork, target: Target, ids: Sequence[int]) -> list[tuple[int, int, str]]:
    """What was asked for and is missing still, unless readers know it."""
    ends = [*ids[:1], *ids[-1:]]
    if not isinstance(target, Tail):
        ends += [target.from_id, target.to_id]
    told: list[tuple[int, int, str]] = []
    for runs in (work.missing, work.suspects) if ends else ():
        for run in runs[overlapping(runs, min(ends), max(ends))]:
            outcome = BEYOND_REST if isinstance(run, Missing) and run.beyond else REPAIRING
            if run.told != outcome:
                run.told = outcome
                told.append((run.from_id, run.to_id, outcome))
    return sorted(told)


def _wanted(work: SymbolWork, target: Target, rows: Sequence[Trade], ids: Sequence[int]) -> list[Trade]:
    """The rows that are missing, ascending; every other row is held already, or is none of our business."""
    ranges: list[Range] = [
        (run.from_id, run.to_id)
        for runs in (work.missing, work.suspects)
        for run in runs[overlapping(runs, ids[0], ids[-1])]
    ]
    if isinstance(target, Tail):
        # What is newer than the suspicion was perhaps never lost: the stream brings it.
        lost = [row.trade_id for row in rows if row.trade_time <= target.time]
        ranges += [(target.from_id, lost[-1])] if lost else []
    places = [(bisect_left(ids, start), bisect_right(ids, end)) for start, end in joined(ranges)]
    return [row for start, end in places for row in rows[start:end]]


def _confirm(work: SymbolWork, ids: Sequence[int], now_s: float, policy: Policy) -> list[Range]:
    """Count the page for or against each suspect; those that have been confirmed often enough leave as holes."""
    holes: list[Range] = []
    place = overlapping(work.suspects, ids[0], ids[-1])
    kept: list[Suspect] = []
    for suspect in work.suspects[place]:
        # None there means that it lies between two rows, because the page's own ends are rows.
        there = ids[bisect_left(ids, suspect.from_id) : bisect_right(ids, suspect.to_id)]
        if there:
            kept += _restarted(suspect, there, now_s, policy)
        elif suspect.due_s > now_s:
            kept.append(suspect)
        elif suspect.seen + 1 >= len(policy.confirm_s):
            holes.append((suspect.from_id, suspect.to_id))
        else:
            wait_s = policy.confirm_s[suspect.seen + 1]
            kept.append(msgspec.structs.replace(suspect, seen=suspect.seen + 1, due_s=now_s + wait_s, failures=0))
    work.suspects[place] = kept
    return joined(holes)


def _restarted(suspect: Suspect, there: Sequence[int], now_s: float, policy: Policy) -> list[Suspect]:
    """Some of the ids are there after all, so what REST says of the others counts from now on only."""
    return [
        msgspec.structs.replace(
            suspect, from_id=start, to_id=end, below=start - 1 if start - 1 in there else suspect.below,
            seen=0, failures=0, due_s=now_s + policy.confirm_s[0],
        )
        for start, end in without(suspect.from_id, suspect.to_id, [(i, i) for i in there])
    ]  # fmt: skip


def _reconsider(work: SymbolWork, target: Suspect, ids: Sequence[int], now_s: float, policy: Policy) -> None:
    """The page asked for a suspect and did not speak of it: REST has forgotten the row below, or is behind again."""
    if not any(suspect is target for suspect in work.suspects):
        return
    if ids[0] >= target.from_id:
        work.suspects = [suspect for suspect in work.suspects if suspect is not target]
        again = Missing(target.from_id, target.to_id, target.time, target.cause, now_s, probing=True, told=target.told)
        insert(work.missing, again)
    else:
        work.postpone(target, now_s, policy)


def _follow(work: SymbolWork, tail: Tail, last: Trade, now_s: float, policy: Policy) -> None:
    """Go on above the last row, until the trades are as new as what made the tail suspicious."""
    if last.trade_id < tail.from_id:
        _postpone(work, tail, now_s, policy)
    elif last.trade_time >= tail.time:
        work.tail = None
    else:
        work.tail = msgspec.structs.replace(tail, from_id=last.trade_id + 1, due_s=now_s, failures=0)


def _postpone(work: SymbolWork, target: Target, now_s: float, policy: Policy) -> None:
    work.postpone(target, now_s, policy)
    if isinstance(target, Tail) and target.failures >= _TAIL_FAILURES:
        work.tail = None


def _settle(work: SymbolWork, target: Target, ids: Sequence[int], now_s: float, policy: Policy) -> list[Range]:
    """Take what the page speaks of out of the missing ids: rows are fetched, skipped ids become suspects."""
    floor, top = ids[0], ids[-1]
    for start, end, below in skipped(ids):
        for run in work.missing[overlapping(work.missing, start, end)]:
            part = max(start, run.from_id), min(end, run.to_id)
            due_s = now_s + policy.confirm_s[0]
            suspect = Suspect(*part, run.time, run.cause, due_s, below, served=run.served, told=run.told)
            insert(work.suspects, suspect)
    beyond: list[Range] = []
    reach = (floor, top) if not isinstance(target, Missing) else (min(floor, target.from_id), max(top, target.to_id))
    place = overlapping(work.missing, *reach)
    rest: list[Missing] = []
    for run in work.missing[place]:
        parts = outside(run, floor, top)
        if run is target:
            beyond = _learn(work, run, parts, top, now_s, policy)
        rest += parts
    work.missing[place] = rest
    return beyond


def _learn(
    work: SymbolWork, target: Missing, parts: list[Missing], top: int, now_s: float, policy: Policy
) -> list[Range]:
    """What is left of the gap that was asked for: below the page, above it, or both."""
    told: list[Range] = []
    for part in parts:
        if part.from_id > top:
            if top < target.from_id:
                work.postpone(part, now_s, policy)
            else:  # The page was cut off by its size or by lag: the next one tells.
                part.due_s, part.failures, part.probing, part.beyond = now_s, 0, False, False
        elif not part.probing:
            part.probing, part.due_s = True, now_s
        else:
            if not part.beyond:
                told.append((part.from_id, part.to_id))
            # The exchange's reach only moves up, so asking again is for the case that it was mistaken.
            part.beyond, part.due_s = True, now_s + max(policy.confirm_s)
    return told
