"""The past, asked for later, is what a reader was told then."""

import random

import msgspec
import pytest

from analytics.clickhouse.sql import sql
from analytics.reading import coverage
from analytics.reading.candles import candle_json, read_candles
from analytics.reading.known import newest, of_record
from analytics.reading.minutes import Span
from analytics.tests.samples import BTC, HOUR, MINUTE, TEN, candle, closed, enriched, live, segment, trade
from ingestion.pipeline.records import CoverageEvent, CoverageKind
from ingestion.pipeline.window import roll_up
from markets.types import SCALE, Interval

pytestmark = pytest.mark.django_db

INTERVALS = (Interval.S1, Interval.M1, Interval.M3, Interval.H1)
MINUTES = 5


def answer(stage, interval, as_of=None):
    """What a reader gets of the story's hour: candles, range, place in the log, coverage."""
    asked = {"start": TEN, "end": TEN + HOUR, "limit": 5_000, "view": stage.view}
    page = read_candles(BTC, interval, as_of=as_of, **asked)
    block = coverage.block(page.snapshot, page.span, None)
    return {"candles": [candle_json(view) for view in page.candles], "seq": page.seq, "place": page.place} | block


class Story:
    """A market with its corrections, told step by step: each step is a commit, known at a clock of its own."""

    def __init__(self, seed):
        self.chance = random.Random(seed)
        self.clock = TEN
        self.ids = dict.fromkeys(range(MINUTES + 1), 0)
        self.closed = 0
        self.gaps = []
        self.newest = None

    def steps(self):
        yield [segment(0, TEN, known_at=self.clock), *self._now()]
        for place in range(MINUTES):
            yield from self._minute(place)
        for _ in range(9):
            if correction := self._correction():
                yield self._step(correction)

    def _minute(self, place):
        held = self.chance.randrange(1, 6) if self.chance.random() < 0.8 else 0
        for number in range(held):
            yield self._step([self._trade(place, number)])
        self.clock = max(self.clock, TEN + (place + 1) * MINUTE + self.chance.choice((50, 900)))
        self.closed = place + 1
        state = self.chance.choice(("closed", "certified"))
        yield self._step([closed(self._candle(place), state=state, known_at=self.clock, missing=0)])
        if correction := self._correction():
            yield self._step(correction)

    def _step(self, records):
        return [*records, *self._now()]

    def _now(self):
        last_id, last_time = self.newest or (None, None)
        closed_to = TEN + self.closed * MINUTE
        now = (self.clock - TEN) // MINUTE
        running = tuple(self._candle(place) for place in range(self.closed, now + 1))
        told = live(self.clock, closed_to, last_trade_id=last_id, last_trade_time=last_time, pending=running)
        self.clock += self.chance.randrange(1, 300)
        return [told]

    def _trade(self, place, number):
        time = max(self.clock, TEN + place * MINUTE + self.chance.randrange(1_000))
        time = min(time, TEN + (place + 1) * MINUTE - 1)
        self.clock = max(self.clock, time)
        self.ids[place] = number + 1
        self.newest = (place * 10 + number, time)
        made = trade(place * 10 + number, time, (100 + self.chance.randrange(9)) * SCALE)
        return msgspec.structs.replace(enriched(made), known_at=self.clock)

    def _candle(self, place):
        held = self.ids[place]
        price = (100 + place) * SCALE
        if not held:
            empty = {"agg_trades": 0, "volume": 0, "quote_volume": 0, "trades": 0}
            empty |= {"taker_buy_volume": 0, "taker_buy_quote_volume": 0}
            nulls = dict.fromkeys(("first_trade_id", "last_trade_id", "first_fill_id", "last_fill_id"))
            return candle(TEN + place * MINUTE, (0, 0), 100 * SCALE, **empty, **nulls)
        return candle(TEN + place * MINUTE, (place * 10, place * 10 + held - 1), price)

    def _correction(self):
        if not self.closed:
            return []
        place = self.chance.randrange(self.closed)
        kind = self.chance.choice(("late", "verdict", "verdict", "restated", "gap", "filled", "hole"))
        if kind == "late":
            self.ids[place] += 1
            state = self.chance.choice(("closed", "certified", "partial"))
            return [closed(self._candle(place), state=state, reason="late", known_at=self.clock)]
        if kind == "verdict":
            return [closed(self._candle(place), state="certified", reason="verdict", known_at=self.clock, missing=0)]
        if kind == "restated":
            said = {"volume": ["1.00000000", f"{self.chance.randrange(9)}.00000000"]}
            other = {"state": "disputed", "reason": "restated", "difference": said, "known_at": self.clock}
            return [closed(self._candle(place), **other)]
        return self._gap(kind, place)

    def _gap(self, kind, place):
        times = (TEN + place * MINUTE + 100, TEN + place * MINUTE + 900)
        if kind == "gap":
            ids = (place * 10 + 6, place * 10 + 8)
            self.gaps.append((ids, times))
            return [CoverageEvent(CoverageKind.GAP_OPENED, BTC, *ids, *times, "stream", self.clock)]
        if not self.gaps:
            return []
        ids, times = self.gaps.pop()
        told = CoverageKind.GAP_CLOSED if kind == "filled" else CoverageKind.HOLE
        return [CoverageEvent(told, BTC, *ids, *times, "stream", self.clock)]


@pytest.mark.parametrize("seed", range(3))
def test_every_moment_asked_for_later_is_what_a_reader_was_told_then(stage, seed):
    story, chance = Story(seed), random.Random(seed)
    told = []
    for records in story.steps():
        stage.tell(*records)
        if chance.random() < 0.2:
            stage.sink()
        asked = chance.sample(INTERVALS, 2)
        told.append((records[-1].feed_time, {interval: answer(stage, interval) for interval in asked}))

    assert len(told) > 15
    for as_of, before in told:
        for interval, answered in before.items():
            assert answer(stage, interval, as_of) == answered, (interval, as_of)


def test_now_and_later_are_the_present(stage):
    story = Story(3)
    for records in story.steps():
        stage.tell(*records)
    now = stage.view.feed_time(BTC)

    for interval in INTERVALS:
        assert answer(stage, interval, now) == answer(stage, interval, now + HOUR) == answer(stage, interval)


@pytest.mark.parametrize("seed", range(2))
def test_what_was_known_is_the_fold_of_the_records_that_were_known_in_the_order_of_the_log(stage, seed):
    """Workers name the clock that they saw when they began, so a later record may have been known earlier."""
    chance = random.Random(seed)
    records = []
    for _ in range(60):
        place, held = chance.randrange(12), chance.randrange(1, 5)
        made = candle(TEN + place * MINUTE, (place * 10, place * 10 + held - 1), (100 + held) * SCALE)
        state = chance.choice(("closed", "certified", "disputed"))
        difference = {"volume": ["1", str(chance.randrange(9))]} if state == "disputed" else None
        known_at = TEN + chance.randrange(13, 60) * MINUTE
        records.append(closed(made, state=state, reason="late", known_at=known_at, difference=difference))
    stage.tell(segment(0, TEN), live(TEN + HOUR, TEN + HOUR), *records[:40]).sink().tell(*records[40:])

    for as_of in range(TEN + 13 * MINUTE, TEN + HOUR, 5 * MINUTE):
        known = newest(of_record(record) for record in records if record.known_at <= as_of)
        wanted = [known[open_time] for open_time in sorted(known)]
        page = read_candles(BTC, Interval.M1, start=TEN, as_of=as_of, view=stage.view)
        assert [view.candle for view in page.candles] == [item.candle for item in wanted]
        assert [view.known_at for view in page.candles] == [item.known_at for item in wanted]
        verdicts = [(bool(item.certified), item.difference if item.disputed else None) for item in wanted]
        assert [(view.state == "certified", view.difference) for view in page.candles] == verdicts
        merged = read_candles(BTC, Interval.M5, start=TEN, as_of=as_of, view=stage.view).candles
        assert [view.candle for view in merged] == roll_up([item.candle for item in wanted], Interval.M5)[: len(merged)]


def test_before_the_first_record_there_is_nothing_and_nothing_is_covered(stage):
    stage.tell(segment(0, TEN), live(TEN + 2 * MINUTE, TEN + MINUTE), closed(candle(TEN, (0, 9)))).sink()

    page = read_candles(BTC, Interval.M1, start=TEN, end=TEN + MINUTE, as_of=TEN - 1, view=stage.view)
    block = coverage.block(page.snapshot, page.span, None)

    assert page.candles == []
    assert (block["complete"], block["held"], block["feed_time"]) == (False, 0, None)


def test_a_trade_that_came_later_is_not_in_the_second_of_then(stage):
    known = [enriched(trade(number, TEN + number)) for number in (1, 2)]
    late = msgspec.structs.replace(enriched(trade(3, TEN + 3)), known_at=TEN + 30_000)
    stage.tell(segment(0, TEN), *known, late, live(TEN + 40_000, TEN, last_trade_id=3, last_trade_time=TEN + 3)).sink()

    counts = [
        [view.candle.agg_trades for view in read_candles(BTC, "1s", start=TEN, end=TEN + 1000, as_of=at).candles]
        for at in (TEN + 29_999, TEN + 30_000)
    ]

    assert counts == [[2], [3]]


def test_while_the_feed_stood_still_the_clock_of_then_did_too(stage):
    records = [closed(candle(TEN, (0, 9))), closed(candle(TEN + HOUR, (600, 609)))]
    stage.tell(segment(0, TEN), *records, live(TEN + HOUR + 2 * MINUTE, TEN + HOUR + MINUTE)).sink()

    page = read_candles(BTC, Interval.M1, as_of=TEN + 30 * MINUTE, view=stage.view)

    assert page.clock == (records[0].known_at, TEN + MINUTE)
    assert [view.open_time for view in page.candles] == [TEN]


def test_the_place_in_the_log_is_that_of_the_first_record_that_was_known_later(stage):
    first, second, third = (closed(candle(TEN + at * MINUTE, (at, at))) for at in range(3))
    stage.tell(segment(0, TEN), live(TEN + HOUR, TEN + 3 * MINUTE), first, second).sink().tell(third)

    seqs = [read_candles(BTC, Interval.M1, as_of=item.known_at, view=stage.view).seq for item in (first, second, third)]

    assert [seq - seqs[0] for seq in seqs] == [0, 1, 2]


def test_both_ways_of_merging_are_the_same_sql():
    now, then = (sql(name).split("SELECT\n    bucket,")[1] for name in ("merged_candles", "merged_as_of"))

    assert now == then


def test_spans_of_the_past_hold_the_ids_that_were_known(stage):
    trades = [enriched(trade(number, TEN + number * 20_000)) for number in range(9)]
    minutes = [
        closed(candle(TEN + at * MINUTE, (at * 3, at * 3 + 2)), known_at=TEN + (at + 1) * MINUTE) for at in (0, 1)
    ]
    now = live(TEN + 3 * MINUTE, TEN + 2 * MINUTE, last_trade_id=8, last_trade_time=TEN + 160_000)
    stage.tell(segment(0, TEN), *trades, *minutes, now).sink()

    page = read_candles(BTC, Interval.M1, start=TEN, as_of=TEN + 130_000, view=stage.view)

    assert coverage.ids_in(page.snapshot, Span(TEN, TEN + HOUR)) == (0, 7)
    assert coverage.ids_in(page.snapshot, Span(TEN + 30_000, TEN + 90_000)) == (2, 5)
