"""Ranges of ids beside sets of ids, and the account that must come out even."""

from hypothesis import given
from hypothesis import strategies as st

from analytics.audit.ids import Ids, account, joined, shared, total, without
from ingestion.pipeline.coverage import Span, SymbolCoverage

SOME = st.sets(st.integers(0, 40))


def ranges(ids) -> list[Ids]:
    return joined(Ids(number, number) for number in ids)


def members(found) -> set[int]:
    return {number for ids in found for number in range(ids.first, ids.last + 1)}


@given(SOME)
def test_joined_ranges_hold_the_same_ids_apart(ids) -> None:
    found = ranges(ids)

    assert members(found) == ids
    assert total(found) == len(ids)
    assert all(left.last + 1 < right.first for left, right in zip(found, found[1:], strict=False))


@given(SOME, SOME)
def test_without_and_shared_are_those_of_sets(left, right) -> None:
    assert members(without(ranges(left), ranges(right))) == left - right
    assert members(shared(ranges(left), ranges(right))) == left & right


def spans(found) -> tuple[Span, ...]:
    return tuple(Span(ids.first, ids.last, 0, 0, 0, "disconnect") for ids in found)


@given(stored=SOME, gaps=SOME, holes=SOME, logged=SOME, first=st.integers(0, 20), count=st.integers(1, 20))
def test_every_id_is_accounted_for_once(stored, gaps, holes, logged, first, count) -> None:
    holes = holes - gaps
    ids = set(range(first, first + count))
    coverage = SymbolCoverage(gaps=spans(ranges(gaps)), holes=spans(ranges(holes)))

    made = account(1, Ids(first, first + count - 1), ranges(ids - stored), ranges(logged), coverage)

    assert made.held == len(ids & stored)
    assert (made.missing, made.holes) == (len(ids & gaps), len(ids & holes))
    assert members(made.lost) == ids - stored - gaps - holes - logged
    assert members(made.surplus) == ids & stored & (gaps | holes)
    assert made.waiting == len((ids & logged) - stored - gaps - holes)
    assert made.agrees == (not made.lost and not made.surplus)
    whole = made.held + made.missing + made.holes + made.waiting
    assert count - whole == len(members(made.lost)) - len(members(made.surplus))
