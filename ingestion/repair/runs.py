"""Sorted lists of disjoint ranges of ids. Both ends are inclusive."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

import msgspec


class Run(Protocol):
    """Anything that stands for the ids ``from_id..to_id``."""

    from_id: int
    to_id: int


R = TypeVar("R", bound=msgspec.Struct)
Range = tuple[int, int]


def overlapping(runs: Sequence[Run], from_id: int, to_id: int) -> slice:
    """The place of the runs that share an id with the range; O(log n)."""
    start = bisect_left(runs, from_id, key=lambda run: run.to_id)
    end = start
    while end < len(runs) and runs[end].from_id <= to_id:
        end += 1
    return slice(start, end)


def cut_out(runs: list[R], from_id: int, to_id: int) -> bool:
    """Take the range out of the runs, in place; True when it held any of it."""
    place = overlapping(runs, from_id, to_id)  # type: ignore[arg-type]
    if place.start == place.stop:
        return False
    runs[place] = [part for run in runs[place] for part in outside(run, from_id, to_id)]
    return True


def outside(run: R, from_id: int, to_id: int) -> list[R]:
    """What is left of a run without the range: none, one or two parts, equal in everything else."""
    parts = []
    if run.from_id < from_id:  # type: ignore[attr-defined]
        parts.append(msgspec.structs.replace(run, to_id=min(run.to_id, from_id - 1)))  # type: ignore[attr-defined]
    if run.to_id > to_id:  # type: ignore[attr-defined]
        parts.append(msgspec.structs.replace(run, from_id=max(run.from_id, to_id + 1)))  # type: ignore[attr-defined]
    return parts


def insert(runs: list[R], run: R) -> None:
    """Put a run that overlaps none of the others in its place."""
    start: int = run.from_id  # type: ignore[attr-defined]
    runs.insert(bisect_left(runs, start, key=lambda item: item.from_id), run)  # type: ignore[attr-defined]


def without(from_id: int, to_id: int, taken: Iterable[Range]) -> list[Range]:
    """The parts of the range that no ``taken`` range covers, ascending.

    >>> without(1, 10, [(3, 4), (8, 20)])
    [(1, 2), (5, 7)]
    """
    parts, at = [], from_id
    for start, end in sorted(taken):
        if start > to_id:
            break
        if start > at:
            parts.append((at, start - 1))
        at = max(at, end + 1)
    if at <= to_id:
        parts.append((at, to_id))
    return parts


def joined(ranges: Iterable[Range]) -> list[Range]:
    """Neighbouring ranges as one, ascending.

    >>> joined([(5, 6), (1, 2), (3, 4), (9, 9)])
    [(1, 6), (9, 9)]
    """
    merged: list[Range] = []
    for start, end in sorted(ranges):
        if merged and start <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def skipped(ids: Sequence[int]) -> list[tuple[int, int, int]]:
    """Where ascending ids jump: (first skipped, last skipped, the id below).

    >>> skipped([4, 5, 8, 9, 11])
    [(6, 7, 5), (10, 10, 9)]
    """
    if ids and ids[-1] - ids[0] == len(ids) - 1:  # nearly every page
        return []
    return [(low + 1, high - 1, low) for low, high in zip(ids, ids[1:], strict=False) if high - low > 1]
