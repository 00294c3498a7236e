"""What one page proves, and what it does not."""

import pytest

from ingestion.pipeline.records import CoverageEvent, CoverageKind
from ingestion.repair.page import take_page
from ingestion.repair.work import StateUnreadable, SymbolWork, Tail, dump, load
from ingestion.tests.repair.world import POLICY, SYMBOL, make_trade

NOW_S = 1_000.0


def gap(from_id, to_id, kind=CoverageKind.GAP_OPENED, cause="disconnect"):
    return CoverageEvent(kind, SYMBOL, from_id, to_id, 0, to_id * 100, cause, to_id * 100)


def work_with(*gaps):
    work = SymbolWork(SYMBOL)
    for from_id, to_id in gaps:
        work.take_event(gap(from_id, to_id), NOW_S, POLICY)
    return work


def ask(work, target, ids, now_s=NOW_S):
    found = take_page(work, target, [make_trade(i) for i in ids], now_s, POLICY)
    return [trade.trade_id for trade in found.trades], found.holes, found.beyond


def missing(work):
    return [(run.from_id, run.to_id) for run in work.missing]


def suspects(work):
    return [(run.from_id, run.to_id, run.seen) for run in work.suspects]


def test_one_page_fills_every_gap_that_it_speaks_of():
    work = work_with((10, 12), (20, 20), (30, 40))

    trades, holes, beyond = ask(work, work.missing[0], range(9, 35))

    assert trades == [10, 11, 12, 20, 30, 31, 32, 33, 34]
    assert (holes, beyond) == ([], [])
    assert missing(work) == [(35, 40)]


def test_skipped_ids_are_suspects_only_where_they_are_missing():
    work = work_with((10, 12), (14, 20))

    ask(work, work.missing[0], [9, 10, 17, 25])

    assert suspects(work) == [(11, 12, 0), (14, 16, 0), (18, 20, 0)]
    assert missing(work) == []


def test_a_page_that_comes_before_its_time_confirms_nothing():
    work = work_with((10, 12))
    ask(work, work.missing[0], [9, 13])

    for wait_s in (0, 30, 59.9):
        for_another = Tail(14, 10**9, 0.0)
        ask(work, for_another, [9, 13], NOW_S + wait_s)
        assert suspects(work) == [(10, 12, 0)]

    ask(work, work.suspects[0], [9, 13], NOW_S + 60)
    assert suspects(work) == [(10, 12, 1)]


def test_ids_that_are_there_after_all_start_the_count_of_their_neighbours_anew():
    work = work_with((10, 14))
    ask(work, work.missing[0], [9, 15])
    ask(work, work.suspects[0], [9, 15], NOW_S + 60)

    trades, _, _ = ask(work, work.suspects[0], [9, 12, 15], NOW_S + 660)

    assert trades == [12]
    assert suspects(work) == [(10, 11, 0), (13, 14, 0)]
    assert [run.ask_from for run in work.suspects] == [9, 12]
    assert {run.due_s for run in work.suspects} == {NOW_S + 720}


def test_a_page_that_ends_before_the_suspect_is_lag():
    work = work_with((10, 14))
    ask(work, work.missing[0], [9, 15])

    ask(work, work.suspects[0], [9], NOW_S + 60)

    assert suspects(work) == [(10, 14, 0)]
    assert NOW_S + 60 < work.suspects[0].due_s < NOW_S + 62


def test_a_suspect_whose_row_below_is_forgotten_is_asked_for_like_a_gap_again():
    work = work_with((10, 14))
    ask(work, work.missing[0], [9, 15])

    ask(work, work.suspects[0], [15, 16], NOW_S + 60)

    assert suspects(work) == []
    assert missing(work) == [(10, 14)]
    assert work.missing[0].ask_from == 0


def test_a_page_that_starts_above_the_gap_makes_it_look_further_below_before_it_gives_up():
    work = work_with((500, 600))

    assert ask(work, work.missing[0], range(700, 800)) == ([], [], [])
    assert work.missing[0].ask_from == 399

    assert ask(work, work.missing[0], range(700, 800))[2] == [(500, 600)]
    assert missing(work) == [(500, 600)]
    assert work.missing[0].due_s >= NOW_S + 3600

    assert ask(work, work.missing[0], range(700, 800), NOW_S + 3600)[2] == []


def test_the_part_that_rest_reaches_is_fetched_when_the_rest_is_beyond_it():
    work = work_with((500, 600))
    ask(work, work.missing[0], range(550, 560))
    assert missing(work) == [(500, 549), (560, 600)]

    assert ask(work, work.missing[0], range(550, 560))[2] == [(500, 549)]
    assert not work.missing[1].probing


def test_a_hole_event_and_a_fill_take_ids_out_of_both_lists():
    work = work_with((10, 14), (20, 24))
    ask(work, work.missing[0], [9, 15])

    work.take_event(gap(11, 12, CoverageKind.GAP_CLOSED), NOW_S, POLICY)
    work.take_event(gap(20, 22, CoverageKind.HOLE), NOW_S, POLICY)

    assert suspects(work) == [(10, 10, 0), (13, 14, 0)]
    assert missing(work) == [(23, 24)]


def test_a_tail_goes_on_page_by_page_and_gives_up_when_rest_has_no_more():
    work = SymbolWork(SYMBOL)
    work.take_event(CoverageEvent(CoverageKind.TAIL_BEHIND, SYMBOL, 10, None, 0, None, "", 10**9), NOW_S, POLICY)

    assert ask(work, work.tail, [9, 10, 11])[0] == [10, 11]
    assert work.tail.ask_from == 11
    for _ in range(6):
        assert isinstance(work.tail, Tail)
        assert ask(work, work.tail, [11])[0] == []

    assert work.tail is None


def test_the_state_survives_as_bytes_and_another_version_is_refused():
    work = work_with((10, 14), (20, 24))
    ask(work, work.missing[0], [9, 15])
    work.take_event(CoverageEvent(CoverageKind.TAIL_BEHIND, SYMBOL, 30, None, 0, None, "", 5), NOW_S, POLICY)

    assert load(dump(work), NOW_S, POLICY) == work
    for foreign in (b"", b"\x92\x02\xc0", dump(work).replace(b"\x92\x01", b"\x92\x09", 1)):
        with pytest.raises(StateUnreadable):
            load(foreign, NOW_S, POLICY)


def test_a_wrong_machine_clock_does_not_put_a_gap_off_for_ever():
    work = work_with((10, 14))

    restored = load(dump(work), NOW_S - 10**9, POLICY)

    assert restored.missing[0].due_s <= NOW_S - 10**9 + 3600
