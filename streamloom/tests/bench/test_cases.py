from collections.abc import Sequence
from dataclasses import replace

import pytest

from streamloom.bench import codecs, core, material, processor
from streamloom.bench.contest import Contestant, Differs, check


@pytest.fixture(scope="module")
def trades():
    return material.made_up(400)


def test_the_material_is_always_the_same_and_has_what_makes_it_hard():
    some = material.made_up(8_000)

    assert some.untidy == material.made_up(8_000).untidy
    assert len(some.untidy) > len(some.records)
    assert list(some.untidy) != sorted(some.untidy)
    # Beyond what a float can hold exactly.
    assert max(trade.qty for trade in some.trades) > 2**53
    assert any(trade.last_id > trade.first_id for trade in some.trades)


def lossy(contestant: Contestant) -> Contestant:
    """The same with the last part of the outcome left out."""
    return replace(contestant, view=lambda *seen: _all_but_one(contestant.view(*seen)))


def _all_but_one(outcome: Sequence) -> Sequence:
    return outcome[:-1]


@pytest.mark.parametrize("cases", [core.cases, codecs.cases, codecs.ingest, processor.cases])
def test_a_path_that_loses_something_is_found_out(trades, cases):
    case = next(iter(cases(trades)))

    check(case)
    with pytest.raises(Differs):
        check(replace(case, fast=lossy(case.fast)))
