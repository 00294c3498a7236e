"""Stream and rebuild together: in the end every closed minute says what is held of it, or waits for a known gap."""

from hypothesis import example, given, settings
from hypothesis import strategies as st

from analytics.candles.judge import Bucket, No, Standing, Version, judge, waits_for_backfill
from analytics.candles.store import newest_versions
from analytics.sink import marks
from ingestion.pipeline.coverage import fold_events, is_covered, missing_ids
from ingestion.pipeline.process import Outputs, SymbolProcessor, SymbolState, condense
from ingestion.pipeline.records import Hole, Kline, Unwatch, Want
from ingestion.pipeline.window import empty_candle, fold
from ingestion.tests.pipeline.factories import START, kline_of, make_trade
from markets.types import MINUTE_MS, Asset, Interval

IDS = st.integers(1, 30)
STEP = st.one_of(
    *[st.builds(lambda skip: ("next", skip), st.sampled_from([0, 0, 0, 1, 2, 7]))] * 4,
    *[st.builds(lambda trade_id: ("trade", trade_id), IDS)] * 3,
    *[st.builds(lambda place: ("fill", place), st.integers(0, 2))] * 2,
    st.builds(lambda ms: ("clock", ms), st.sampled_from([1_000, 4_000, 64_000, 300_000])),
    st.builds(lambda back: ("kline", back), st.integers(0, 4)),
    st.builds(lambda first, count: ("hole", first, first + count), IDS, st.integers(0, 9)),
    st.builds(lambda first: ("want", first, "backfill"), IDS),
    st.just(("unwatch",)),
)
STEPS = st.lists(st.tuples(STEP, st.booleans(), st.booleans()), max_size=40)


def story(*steps):
    """Steps in one commit, without a rebuild between them."""
    return [(step, False, False) for step in steps]


def time_of(trade_id: int) -> int:
    """Six trades in a hundred seconds, then five minutes of silence."""
    return START + trade_id * 17_000 + trade_id // 6 * 300_000


# What the exchange has.
WHOLE = fold([make_trade(trade_id, time_of(trade_id) - START) for trade_id in range(1, 200)], Interval.M1)


class World:
    """A processor, what it published, and the dirty minutes; everything published is stored at once."""

    def __init__(self):
        self.state = SymbolState.new("BTCUSDT")
        self.trades, self.events, self.versions, self.klines = {}, [], [], {}
        self.dirty, self.newest = set(), 0
        self._out = Outputs()
        self.take(("want", 12, "start"))

    def take(self, step):
        SymbolProcessor(self.state, Asset("BTC", "USDT"), self._out).apply(0, self._record(step), b"", "")

    def _record(self, step):
        now = max(self.state.clock, START)
        match step:
            case ("next", skip):
                step = ("trade", max(self.newest, 11) + 1 + skip)
            case ("fill", place):
                gaps = [gap for segment in self.state.holdings.segments for gap in segment.gaps]
                step = ("trade", gaps[-1 - place % len(gaps)].to_id if gaps else 1)
            case ("clock", ms):
                return self._kline(now, now + ms, closed=False)
            case ("kline", back):
                return self._kline(Interval.M1.open_of(now) - (back + 1) * MINUTE_MS, now, closed=True)
            case ("hole", first, last):
                return Hole("BTCUSDT", first, last, "not_served", now)
            case ("want", first, cause):
                # As ingest asks it: the minute, and the last id before that minute.
                minute = Interval.M1.open_of(time_of(first) + MINUTE_MS)
                last = max(trade_id for trade_id in range(first, first + 10) if time_of(trade_id) < minute)
                return Want("BTCUSDT", last, minute, cause, max(now, minute))
            case ("unwatch",):
                return Unwatch("BTCUSDT", now)
        self.newest = max(self.newest, step[1])
        event_time = None if time_of(step[1]) < now else time_of(step[1]) + 3
        return make_trade(step[1], time_of(step[1]) - START, event_time=event_time)

    def _kline(self, time_ms, event_time, closed) -> Kline:
        """The exchange's own minute: it has every trade."""
        minute = Interval.M1.open_of(time_ms)
        theirs = [candle for candle in WHOLE if candle.open_time == minute]
        candle = theirs[0] if theirs else empty_candle("BTCUSDT", Interval.M1, minute, 1)
        return kline_of(candle, event_time, closed=closed)

    def commit(self):
        out, self._out = self._out, Outputs()
        told = condense(out.coverage)
        self.events += told
        self.trades |= {enriched.trade.trade_id: enriched.trade for _, enriched in out.enriched}
        self.klines |= {kline.open_time: kline for kline in out.klines}
        self.versions += out.candles
        self.dirty |= {mark.open_time for mark in marks.of_trades(enriched for _, enriched in out.enriched)}
        self.dirty |= {mark.open_time for mark in marks.of_klines(out.klines)}
        for span in marks.of_coverage(told):
            self.dirty |= set(range(span.first, max(span.first, span.last) + 1, MINUTE_MS))

    @property
    def coverage(self):
        return fold_events(self.events)

    def rebuild(self):
        closed_to = self.state.minutes.closed_to or 0
        standing = Standing(self.state.clock, closed_to, self.state.newest and self.state.newest[0])
        coverage = self.coverage
        for minute in sorted(self.dirty):
            outcome = No.NOTHING_NEW
            if minute < closed_to:
                waits = waits_for_backfill(coverage, minute)
                outcome = No.WAIT if waits else judge(self._bucket(minute), coverage, standing)
            if outcome is not No.WAIT:
                self.dirty.discard(minute)
            if not isinstance(outcome, No):
                self.versions.append(outcome)

    def _bucket(self, minute):
        around = range(minute - MINUTE_MS, minute + 2 * MINUTE_MS)
        near = [trade for _, trade in sorted(self.trades.items()) if trade.trade_time in around]
        kline = self.klines.get(minute)
        return Bucket("BTCUSDT", minute, near, self.known().get(minute), kline, 1, patient=False)

    def known(self):
        return newest_versions(
            (record.candle.open_time, Version(record.candle.revision, None)) for record in self.versions
        )


@settings(max_examples=300, deadline=None)
@given(STEPS)
# A hole beside a gap that is partly filled: what is empty beyond the newest id in it is known.
@example([(step, True, True) for step in [("trade", 24), ("hole", 5, 14), ("fill", 0), ("hole", 6, 15)]])
def test_every_closed_minute_says_what_is_held_of_it(steps):
    world = World()
    for step, is_end, is_turn in steps:
        world.take(step)
        if is_end:
            world.commit()
        if is_end and is_turn:
            world.rebuild()
    world.commit()
    world.rebuild()

    held = {candle.open_time: candle for candle in fold(world.trades.values(), Interval.M1)}
    coverage, known, closed_to = world.coverage, world.known(), world.state.minutes.closed_to
    for minute in range(START - MINUTE_MS, closed_to, MINUTE_MS):
        end = minute + MINUTE_MS
        if minute in world.dirty or waits_for_backfill(coverage, minute):
            continue
        if not is_covered(coverage, minute, end, world.state.clock):
            continue
        if minute in held:
            assert minute in known, minute
            assert known[minute].revision == held[minute].revision
        elif not missing_ids(coverage, minute, end) and not (minute in world.klines and world.klines[minute].trades):
            assert minute in known, (minute - START) / MINUTE_MS
            assert known[minute].revision == 0


@settings(max_examples=300, deadline=None)
@given(STEPS)
# Trades that still come after a switch-off belong to no segment, and the next one begins above them.
@example(story(("want", 25, "backfill"), ("unwatch",), ("trade", 24), *[("next", 0)] * 3, ("next", 1), ("kline", 0)))
# Wanted further back before the first trade came: the id below it is missing too, and bounds nothing.
@example(story(("want", 1, "backfill"), *[("next", 0)] * 2, ("fill", 0), ("kline", 0), ("next", 1)))
def test_a_certified_minute_is_whole_and_a_disputed_one_never_only_late(steps):
    world = World()
    for step, is_end, is_turn in steps:
        world.take(step)
        if is_end:
            world.commit()
        if is_end and is_turn:
            world.rebuild()
    world.commit()
    world.rebuild()

    whole = {candle.open_time: candle for candle in WHOLE}
    for record in world.versions:
        if record.state == "certified":
            theirs = whole.get(record.candle.open_time)
            assert record.candle.revision == (theirs.revision if theirs else 0)
        # The exchange has all that we hold: ids that we lack are in a gap, which is no dispute, or in a hole.
        if record.state == "disputed":
            theirs = whole[record.candle.open_time]
            assert any(
                event.from_id <= theirs.last_trade_id and event.to_id >= theirs.first_trade_id
                for event in world.events
                if event.kind == "hole"
            )
