import random
from contextlib import contextmanager

import pytest

from streamloom.bench.contest import Case, Contestant, Differs, check, compete


def contestant(result, ran=None, **other):
    def run(_):
        if ran is not None:
            ran.append(result)
        return result

    return Contestant(run, lambda _, made: made, **other)


def case(naive, fast, **other):
    return Case("sums", 10, "sum", naive, fast, **other)


def test_a_fast_way_that_gives_something_else_is_not_timed():
    ran = []

    with pytest.raises(Differs, match="sums: .* first at 1: 2 is not 3"):
        compete(case(contestant([1, 2], ran), contestant([1, 3], ran)), 5, random.Random(1))

    assert ran == [[1, 2], [1, 3]]


def test_one_row_too_many_is_a_difference():
    with pytest.raises(Differs, match="1 is not 2 of them"):
        check(case(contestant([1]), contestant([1, 2])))


def test_both_ways_run_once_in_every_round_after_the_check():
    ran = []

    figures = compete(
        case(contestant("a", ran), Contestant(lambda _: ran.append("b"), lambda *_: "a")), 3, random.Random(1)
    )

    assert (ran.count("a"), ran.count("b")) == (4, 4)
    assert figures.rounds == 3


def test_the_way_that_works_less_wins():
    def work(amount):
        return Contestant(lambda _: sum(range(amount)) and None, lambda _, made: made)

    figures = compete(case(work(2_000_000), work(20_000)), 3, random.Random(1))

    assert figures.ratio > 10
    assert figures.naive > figures.fast


def test_every_run_gets_a_place_of_its_own():
    places = []

    @contextmanager
    def place():
        places.append("open")
        yield
        places.append("closed")

    compete(case(contestant(1, place=place), contestant(1)), 2, random.Random(1))

    assert places == ["open", "closed"] * 3


def test_memory_counts_what_is_kept_and_not_what_was_used_meanwhile():
    keeps_much = Contestant(lambda _: [str(n) for n in range(20_000)], lambda *_: None)
    uses_much = Contestant(lambda _: len([str(n) for n in range(20_000)]), lambda *_: None)

    figures = compete(case(keeps_much, uses_much, measures="memory"), 1, random.Random(1))

    assert figures.naive * figures.units > 20_000 * 50
    assert figures.ratio > 100
