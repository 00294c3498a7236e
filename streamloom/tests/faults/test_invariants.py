"""The judge of the fault harness: silent when all is well, and never when one thing is not."""

from dataclasses import replace

import pytest

from ingestion.log.port import TopicPartition
from ingestion.pipeline.coverage import Segment, Span, SymbolCoverage
from markets.types import HOUR_MS, MINUTE_MS
from streamloom.faults.facts import Found, Step, Version
from streamloom.faults.invariants import Kind, judge, judge_candles, judge_pages, judge_socket

SYMBOL = "BTCUSDT"
PLACE = TopicPartition("enriched_trades", 0)
IDS = [(SYMBOL, trade_id) for trade_id in range(10, 20)]
CANDLES = [(SYMBOL, at * MINUTE_MS, 7 + at) for at in range(60)]


def all_well() -> Found:
    """Ten trades, one whole hour and the minutes that make it old."""
    logged = {"enriched_trades": IDS, "candles_1m": CANDLES, "dead_letters": []}
    return Found(
        ends={PLACE: 12},
        places={PLACE: 12},
        steps=(
            Step("enriched_trades", 0, None, 0),
            Step("enriched_trades", 0, 0, 5),
            Step("enriched_trades", 0, 5, 12),
        ),
        logged=logged,
        stored={topic: list(keys) for topic, keys in logged.items()},
        versions=tuple(Version(SYMBOL, at, 1, is_close=True) for _, at, _ in CANDLES),
        coverage={SYMBOL: SymbolCoverage(segments=(Segment(1, 10, 0),))},
        minutes={(SYMBOL, at): 1 for _, at, _ in CANDLES} | {(SYMBOL, 2 * HOUR_MS): 1},
        hours={(SYMBOL, 0): 60},
    )


def said(found: Found) -> set[tuple[Kind, str]]:
    return {(finding.kind, finding.invariant) for finding in judge(found, {SYMBOL: 19})}


def changed(topic: str, keys: list, *, where: str) -> Found:
    found = all_well()
    return replace(found, **{where: {**getattr(found, where), topic: keys}})


def test_nothing_is_said_when_all_is_well():
    assert said(all_well()) == set()


@pytest.mark.parametrize(
    ("broken", "kind", "invariant"),
    [
        (changed("enriched_trades", IDS[:5] + IDS[6:], where="logged"), Kind.LOST, "every trade is there"),
        (changed("enriched_trades", [*IDS, IDS[3]], where="logged"), Kind.DOUBLED, "every trade is there once"),
        (changed("enriched_trades", IDS[:-1], where="stored"), Kind.LOST, "every trade is there"),
        (changed("enriched_trades", [*IDS, IDS[0]], where="stored"), Kind.DOUBLED, "every trade is there once"),
        (changed("candles_1m", CANDLES[1:], where="stored"), Kind.LOST, "rows = records read"),
        (changed("candles_1m", [*CANDLES, CANDLES[1]], where="stored"), Kind.DOUBLED, "rows = records read"),
        (replace(all_well(), places={PLACE: 11}), Kind.LOST, "positions reach the end"),
        (
            replace(all_well(), steps=(*all_well().steps, Step("enriched_trades", 0, 12, 5))),
            Kind.WRONG,
            "positions only go forward, without gap",
        ),
        (
            replace(all_well(), coverage={SYMBOL: SymbolCoverage(segments=(Segment(1, 9, 0),))}),
            Kind.WRONG,
            "hi - lo + 1 = distinct + missing + holes",
        ),
        (
            replace(
                all_well(),
                coverage={SYMBOL: SymbolCoverage((Segment(1, 10, 0),), (Span(12, 12, 0, 0, 0, "stream"),))},
            ),
            Kind.WRONG,
            "hi - lo + 1 = distinct + missing + holes",
        ),
        (
            replace(all_well(), versions=(Version(SYMBOL, 0, 5, is_close=True), Version(SYMBOL, 0, 4, is_close=False))),
            Kind.WRONG,
            "revisions only rise",
        ),
        (
            replace(all_well(), versions=(Version(SYMBOL, 0, 5, is_close=True), Version(SYMBOL, 0, 5, is_close=True))),
            Kind.DOUBLED,
            "a minute closes once",
        ),
        (replace(all_well(), hours={(SYMBOL, 0): 59}), Kind.WRONG, "1h.n = Σ 1m.n"),
        (
            replace(all_well(), hours={}, minutes={**all_well().minutes, (SYMBOL, 3 * HOUR_MS): 1}),
            Kind.WRONG,
            "1h.n = Σ 1m.n",
        ),
    ],
)
def test_whatever_is_not_as_it_must_be_is_said(broken, kind, invariant):
    assert (kind, invariant) in said(broken)


def with_hole(first: int, last: int) -> Found:
    """All is well, but these ids are declared a hole, and nowhere."""
    kept = [key for key in IDS if not first <= key[1] <= last]
    coverage = SymbolCoverage((Segment(1, 10, 0),), (), (Span(first, last, 0, 0, 0, "rest"),))
    without = changed("enriched_trades", kept, where="logged")
    return replace(without, coverage={SYMBOL: coverage}, stored={**without.stored, "enriched_trades": kept})


def test_ids_that_never_were_are_none_that_are_lost_and_must_be_declared():
    declared = with_hole(12, 13)

    assert judge(declared, {SYMBOL: 19}, {SYMBOL: [(12, 13)]}) == []
    undeclared = replace(declared, coverage=all_well().coverage)
    found = judge(undeclared, {SYMBOL: 19}, {SYMBOL: [(12, 13)]})
    assert (Kind.WRONG, "a hole is what never was", 2) in {(f.kind, f.invariant, f.count) for f in found}


def test_a_hole_where_trades_were_is_reported():
    found = judge(with_hole(12, 13), {SYMBOL: 19}, {SYMBOL: [(12, 12)]})

    assert {(f.invariant, f.count) for f in found} == {("every trade is there", 1), ("a hole is what never was", 1)}


def test_a_candle_may_miss_the_ids_that_never_were_and_no_others():
    truth = [{"open_time": at, "close": "1.0"} for at in range(2)]
    mine = [candle(0, missing=2, state="closed"), candle(1, missing=2, state="closed")]

    assert judge_candles(SYMBOL, "1m", mine, truth, {0: 2, 1: 2}) == []
    assert [finding.count for finding in judge_candles(SYMBOL, "1m", mine, truth, {0: 2})] == [1]


def candle(at: int, **fields) -> dict:
    return {"open_time": at, "close": "1.0", "missing": 0, "state": "certified"} | fields


def test_candles_that_are_lost_doubled_or_different_are_told_apart():
    truth = [{"open_time": at, "close": "1.0"} for at in range(3)]

    assert judge_candles(SYMBOL, "1m", [candle(at) for at in range(3)], truth) == []
    mine = [candle(0, close="2.0"), candle(1, state="disputed"), candle(1, state="disputed")]
    kinds = {finding.kind: finding.count for finding in judge_candles(SYMBOL, "1m", mine, truth)}

    assert kinds == {Kind.LOST: 1, Kind.DOUBLED: 1, Kind.WRONG: 2}


def test_a_subscriber_that_missed_a_candle_or_was_told_a_wrong_one_is_reported():
    truth = {SYMBOL: [{"open_time": at, "close": "1.0", "agg_trades": 2} for at in range(4)]}
    told = {(SYMBOL, 1): candle(1, agg_trades=2), (SYMBOL, 3): candle(3, close="9.0", agg_trades=2)}

    found = judge_socket(told, truth, {SYMBOL: 1}, [(SYMBOL, 3)])

    assert {finding.kind: finding.count for finding in found} == {Kind.LOST: 1, Kind.WRONG: 1, Kind.DOUBLED: 1}


def test_pages_that_repeat_or_leave_out_a_trade_are_reported():
    class Traded:
        def __init__(self, trade_id: int) -> None:
            self.trade_id = trade_id

    truth = [Traded(number) for number in range(5)]
    listed = [{"trade_id": number, "price": "1"} for number in range(5)]

    assert judge_pages(SYMBOL, listed, truth, listed) == []
    found = judge_pages(SYMBOL, [*listed[:3], {"trade_id": 2, "price": "2"}], truth, listed)

    assert {finding.kind: finding.count for finding in found} == {Kind.LOST: 2, Kind.DOUBLED: 1, Kind.WRONG: 1}
