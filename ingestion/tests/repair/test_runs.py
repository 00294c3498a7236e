"""Ranges behave like the sets of ids that they stand for."""

from hypothesis import given
from hypothesis import strategies as st

from ingestion.repair.runs import cut_out, insert, joined, overlapping, skipped, without
from ingestion.repair.work import Missing

ranges = st.tuples(st.integers(0, 40), st.integers(0, 10)).map(lambda pair: (pair[0], pair[0] + pair[1]))
id_sets = st.sets(st.integers(0, 50))


def as_ids(items):
    return {i for start, end in items for i in range(start, end + 1)}


def as_runs(ids):
    runs = []
    for start, end in joined((i, i) for i in ids):
        insert(runs, Missing(start, end, 0, "", 0.0))
    return runs


def spans(runs):
    return [(run.from_id, run.to_id) for run in runs]


@given(id_sets, ranges)
def test_cutting_takes_exactly_the_range_out(ids, cut):
    runs = as_runs(ids)

    held_some = cut_out(runs, *cut)

    assert as_ids(spans(runs)) == ids - as_ids([cut])
    assert held_some == bool(ids & as_ids([cut]))
    assert spans(runs) == sorted(spans(runs))


@given(id_sets, ranges)
def test_overlapping_finds_the_runs_that_share_an_id(ids, asked):
    runs = as_runs(ids)

    found = spans(runs[overlapping(runs, *asked)])

    assert found == [run for run in spans(runs) if as_ids([run]) & as_ids([asked])]


@given(ranges, st.lists(ranges))
def test_what_is_without_is_the_difference(whole, taken):
    assert as_ids(without(*whole, taken)) == as_ids([whole]) - as_ids(taken)


@given(st.lists(ranges))
def test_joining_keeps_the_ids_and_leaves_no_neighbours(items):
    result = joined(items)

    assert as_ids(result) == as_ids(items)
    assert all(left[1] + 1 < right[0] for left, right in zip(result, result[1:], strict=False))


@given(id_sets)
def test_skipped_ids_are_those_between_the_first_and_the_last(ids):
    ordered = sorted(ids)

    found = skipped(ordered)

    between = set(range(ordered[0], ordered[-1])) - ids if ordered else set()
    assert as_ids((start, end) for start, end, _ in found) == between
    assert all(below == start - 1 and below in ids for start, _, below in found)
