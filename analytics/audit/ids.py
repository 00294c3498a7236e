"""Ranges of ids, and the account of one segment's ids of a day. Pure."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from ingestion.pipeline.coverage import SymbolCoverage


class Ids(NamedTuple):
    """The ids ``first..last``, both included."""

    first: int
    last: int

    @property
    def size(self) -> int:
        return self.last - self.first + 1


def total(ranges: Iterable[Ids]) -> int:
    """How many ids the ranges hold; they must not overlap."""
    return sum(ids.size for ids in ranges)


def joined(ranges: Iterable[Ids]) -> list[Ids]:
    """The same ids as ranges in ascending order that neither overlap nor touch."""
    made: list[Ids] = []
    for ids in sorted(ranges):
        if made and ids.first <= made[-1].last + 1:
            made[-1] = Ids(made[-1].first, max(made[-1].last, ids.last))
        elif ids.size > 0:
            made.append(ids)
    return made


def without(ranges: Sequence[Ids], taken: Sequence[Ids]) -> list[Ids]:
    """The ids of ``ranges`` that are not in ``taken``; both as ``joined`` makes them."""
    left: list[Ids] = []
    place = 0
    for ids in ranges:
        first = ids.first
        while place < len(taken) and taken[place].last < first:
            place += 1
        at = place
        while at < len(taken) and taken[at].first <= ids.last:
            if taken[at].first > first:
                left.append(Ids(first, taken[at].first - 1))
            first = taken[at].last + 1
            at += 1
        if first <= ids.last:
            left.append(Ids(first, ids.last))
    return left


def shared(ranges: Sequence[Ids], others: Sequence[Ids]) -> list[Ids]:
    """The ids that are in both; both as ``joined`` makes them."""
    return without(ranges, without(ranges, others))


class Account(msgspec.Struct, frozen=True):
    """The ids ``first..last`` of one segment and day: each is held, missing, a hole or still to be stored.

    ``waiting``: in the log, not stored yet. ``lost``: neither stored nor known to be missing. ``surplus``: stored,
    although they are said to be missing.
    """

    segment: int
    first: int
    last: int
    held: int
    missing: int
    holes: int
    waiting: int = 0
    lost: tuple[Ids, ...] = ()
    surplus: tuple[Ids, ...] = ()

    @property
    def agrees(self) -> bool:
        """The promise: last - first + 1 = held + missing + holes (and what is on its way)."""
        whole = self.last - self.first + 1 == self.held + self.missing + self.holes + self.waiting
        return whole and not self.lost and not self.surplus


def account(
    segment: int, ids: Ids, absent: Sequence[Ids], unstored: Sequence[Ids], coverage: SymbolCoverage
) -> Account:
    """The account of the ids of one segment. ``absent``: those of them that are not stored; ``unstored``: those that
    the log holds and the sink has not stored yet."""
    span = [ids]
    gaps = shared(span, joined(Ids(gap.from_id, gap.to_id) for gap in coverage.gaps))
    holes = shared(span, joined(Ids(hole.from_id, hole.to_id) for hole in coverage.holes))
    told = joined([*gaps, *holes])
    waiting = without(shared(absent, unstored), told)
    return Account(
        segment,
        ids.first,
        ids.last,
        ids.size - total(absent),
        total(gaps),
        total(holes),
        total(waiting),
        tuple(without(without(absent, told), unstored)),
        tuple(without(told, absent)),
    )
