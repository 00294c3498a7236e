"""The coverage of a batch in fewer words says the same."""

from ingestion.pipeline.coverage import fold_events
from ingestion.pipeline.process import condense
from ingestion.pipeline.records import Hole
from ingestion.tests.pipeline.factories import START, make_trade
from ingestion.tests.pipeline.run import WANT, Run


def test_a_gap_that_passed_within_a_batch_is_told_when_it_left_an_empty_minute_unknown():
    run = Run(WANT, make_trade(1, 10), make_trade(3, 150_000), make_trade(4, 154_000), make_trade(2, 20))

    told = [event for event in condense(run.out.coverage) if event.kind.startswith("gap")]

    assert [minute for minute, *_ in run.states()] == [0]
    assert [(event.kind, event.from_time, event.to_time) for event in told] == [
        ("gap_opened", START + 10, START + 150_000),
        ("gap_closed", START + 10, START + 150_000),
    ]


def test_what_a_hole_left_of_a_gap_and_was_filled_at_once_is_no_gap_any_more():
    before = Run(WANT, make_trade(1, 10), make_trade(9, 20))
    told = condense(before.out.coverage)

    before.commit().take(Hole("BTCUSDT", 2, 5, "not_served", START), *(make_trade(i, 10 + i) for i in (6, 7, 8)))

    assert fold_events([*told, *condense(before.out.coverage)]).gaps == ()


def test_a_gap_of_disorder_is_not_told():
    run = Run(WANT, make_trade(1, 10), make_trade(3, 20), make_trade(2, 15))

    assert [event.kind for event in condense(run.out.coverage)] == ["segment_opened"]
