"""Whatever the exchange, its stream and its REST do, in the end a minute is certified if and only if it is whole.

The processor, the sink's marks and the worker together, over an exchange that has trades of several fills, ids that
never were (its fills go on across them), and ids that it counts and does not serve.
"""

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.candles import prove
from analytics.candles.judge import Bucket, No, Standing, Version, absent, judge
from analytics.candles.store import newest_versions, version_of
from analytics.reading.known import derive, join, newest, of_record, with_kline
from analytics.reading.reports import best_reports
from analytics.reading.view import Clock
from analytics.sink import marks
from ingestion.pipeline.coverage import fold_events, missing_ids, touching
from ingestion.pipeline.process import Outputs, SymbolProcessor, SymbolState, condense
from ingestion.pipeline.records import Hole, Kline, Proved, Want
from ingestion.pipeline.verdict import VERDICTS
from ingestion.pipeline.window import empty_candle, fold, roll_up
from ingestion.tests.pipeline.factories import START as _FULL_MINUTE
from ingestion.tests.pipeline.factories import kline_of, make_trade
from markets.types import MINUTE_MS, Asset, Interval

SYMBOL = "BTCUSDT"
FIRST = Interval.M15.open_of(_FULL_MINUTE)
IDS = range(1, 41)
# The clock's end: the whole quarter of an hour has closed.
END = FIRST + 15 * MINUTE_MS
MINUTES = range(FIRST, END, MINUTE_MS)


def time_of(trade_id: int) -> int:
    """Four trades a minute, and three minutes of silence after every twelfth."""
    return FIRST + trade_id * 14_000 + trade_id // 12 * 3 * MINUTE_MS


@dataclass
class Exchange:
    """What really happened. ``ghosts``: ids that never were."""

    ghosts: frozenset[int]
    trades: dict[int, object] = field(default_factory=dict)

    def __post_init__(self):
        fill = 100
        for trade_id in (0, *IDS):
            fills = 1 + trade_id % 3
            if trade_id not in self.ghosts:
                at = (time_of(trade_id) if trade_id else FIRST - 5_000) - _FULL_MINUTE
                made = make_trade(trade_id, at, 100 + trade_id, first_id=fill, last_id=fill + fills - 1)
                self.trades[trade_id] = made
                fill += fills
        self.minutes = {candle.open_time: candle for candle in fold(self.trades.values(), Interval.M1)}

    def minute(self, open_time, without=0):
        """The minute as the exchange has it, or had it before its last ``without`` trades reached REST."""
        inside = [made for made in self.trades.values() if open_time <= made.trade_time < open_time + MINUTE_MS]
        seen = fold(inside[: len(inside) - without], Interval.M1)
        return seen[0] if seen else empty_candle(SYMBOL, Interval.M1, open_time, 1)


class World:
    """Processor, tables and worker; all that is published is stored at once."""

    def __init__(self, exchange):
        self.exchange = exchange
        self.state = SymbolState.new(SYMBOL)
        self.trades, self.events, self.records, self.reports = {}, [], [], []
        self.dirty = set()
        self.say(Want(SYMBOL, 0, FIRST, "start", FIRST))
        self.say(exchange.trades[0])

    # --- what happens --------------------------------------------------------------------------------

    def say(self, record):
        out = Outputs()
        SymbolProcessor(self.state, Asset("BTC", "USDT"), out).apply(0, record, b"", "")
        told = condense(out.coverage)
        self.events += told
        self.trades |= {item.trade.trade_id: item.trade for _, item in out.enriched}
        self.dirty |= {mark.open_time for mark in marks.of_trades(item for _, item in out.enriched)}
        for span in marks.of_coverage(told):
            self.dirty |= set(range(span.first, max(span.first, span.last) + 1, MINUTE_MS))
        self.store_klines(out.klines)
        self.store_candles(out.candles)

    def store_klines(self, klines):
        self.reports += klines
        self.dirty |= {mark.open_time for mark in marks.of_klines(klines)}

    def store_candles(self, records):
        gaps = fold_events(self.events).gaps
        for record in records:
            at = record.candle.open_time
            if record.state in VERDICTS:
                assert at in self.klines, "a verdict without the exchange's word"
            if record.state == "disputed":
                assert not touching(gaps, at, at + MINUTE_MS), "a gap is hidden behind a dispute"
        self.records += records
        self.dirty |= {m.open_time for m in marks.without_verdict(records) if m.open_time in self.klines}

    def stream(self, trade_id):
        self.say(self.exchange.trades[trade_id])

    def repair(self, trade_id):
        self.say(make_trade(**_as_rest(self.exchange.trades[trade_id])))

    def frame(self, at):
        """A running kline: only its clock counts."""
        self.say(kline_of(self.exchange.minute(Interval.M1.open_of(at)), at, closed=False))

    def closed_frame(self, open_time):
        candle = self.exchange.minute(open_time)
        self.say(kline_of(candle, open_time + MINUTE_MS + 40, recheck=False))

    def rest(self, open_time, without=0):
        candle = self.exchange.minute(open_time, without)
        now = max(self.state.clock, open_time + MINUTE_MS)
        ids = {"first_fill_id": -1, "last_fill_id": -1, "source": "rest", "recheck": True}
        self.store_klines([kline_of(candle, now, **ids)])

    def hole(self, first, last):
        self.say(Hole(SYMBOL, first, last, "not_served", self.state.clock))

    # --- the worker ----------------------------------------------------------------------------------

    @property
    def coverage(self):
        return fold_events(self.events)

    @property
    def klines(self) -> dict[int, Kline]:
        return best_reports(self.reports)

    @property
    def versions(self) -> dict[int, Version]:
        return newest_versions((record.candle.open_time, version_of(record)) for record in self.records)

    def turn(self):
        closed_to = self.state.minutes.closed_to or 0
        newest_id = self.state.newest and self.state.newest[0]
        standing, coverage = Standing(self.state.clock, closed_to, newest_id), self.coverage
        due = sorted(minute for minute in self.dirty if minute < closed_to)
        for minute in due:
            self.dirty.discard(minute)
            bucket = self.bucket(minute)
            outcome = judge(bucket, coverage, standing)
            if outcome is No.WAIT:
                assert not absent(bucket, coverage), "every id that is gone is in a known gap here"
                self.dirty.add(minute)
            elif not isinstance(outcome, No):
                self.store_candles([outcome])
        settled = [minute for minute in due if minute not in self.dirty]
        for run in prove.doubted(coverage, settled):
            if prove.are_certified(run, self.versions) and prove.goes_on(self.fills_around(run)):
                self.say(Proved(SYMBOL, run.from_id, run.to_id, self.state.clock))

    def bucket(self, minute):
        near = [
            made for _, made in sorted(self.trades.items()) if -MINUTE_MS <= made.trade_time - minute < 2 * MINUTE_MS
        ]
        known = self.versions.get(minute), self.klines.get(minute)
        return Bucket(SYMBOL, minute, near, *known, 1, patient=False)

    def fills_around(self, run):
        below = [made.last_id for made in self.trades.values() if made.trade_id < run.from_id]
        above = [made.first_id for made in self.trades.values() if made.trade_id > run.to_id]
        return (max(below), min(above)) if below and above else None

    def settle(self, unserved):
        """The exchange gives what it has, the rest is a hole, disputes are asked again, the worker comes to rest."""
        self.frame(END + 5_000)
        for gap in self.coverage.gaps:
            for trade_id in range(gap.from_id, gap.to_id + 1):
                if trade_id in self.exchange.trades and trade_id not in unserved:
                    self.repair(trade_id)
        for gap in self.coverage.gaps:
            self.hole(gap.from_id, gap.to_id)
        for _ in range(6):
            self.turn()
        for minute in MINUTES:
            version = self.versions.get(minute)
            if version is None or version.verdict != "certified":
                self.rest(minute)
        for _ in range(6):
            self.turn()


def _as_rest(made):
    fields = {name: getattr(made, name) for name in made.__struct_fields__}
    fields |= {"at_ms": made.trade_time - _FULL_MINUTE, "source": "rest", "event_time": None}
    return fields | {"price": made.price // 10**8, "qty": made.qty // 10**8}


# --- stories ------------------------------------------------------------------------------------------

# Of each id: whether the stream brings it, and if not, whether REST has it.
FATES = st.lists(
    st.sampled_from(["came", "came", "came", "came", "dropped", "unserved", "ghost"]), min_size=40, max_size=40
)
FRAMES = st.lists(st.sampled_from(["before", "after", "missed"]), min_size=15, max_size=15)
MINUTE = st.integers(0, 14).map(lambda place: FIRST + place * MINUTE_MS)
BETWEEN = st.lists(
    st.tuples(
        st.integers(0, 70),
        st.one_of(
            st.just(("turn",)),
            st.tuples(st.just("rest"), MINUTE, st.integers(0, 3)),
            st.tuples(st.just("repair"), st.sampled_from(IDS)),
            st.tuples(st.just("hole"), st.sampled_from(IDS), st.integers(0, 6)),
        ),
    ),
    max_size=25,
)


def what_streams(fates, frames):
    """(time, step) of all that the stream brings, in its order."""
    steps = [
        (time_of(trade_id), ("stream", trade_id)) for trade_id, fate in zip(IDS, fates, strict=True) if fate == "came"
    ]
    for minute, how in zip(MINUTES, frames, strict=True):
        end = minute + MINUTE_MS
        steps += [(end + 20, ("frame", end + 20))]
        # The first trade of a minute comes at its 14th second or earlier; the frame before it or after.
        steps += [] if how == "missed" else [(end + (30 if how == "before" else 30_000), ("closed_frame", minute))]
    return [step for _, step in sorted(steps, key=lambda item: item[0])]


def told(fates, frames, between):
    """The world after the story, and the ids that nobody can have."""
    by_fate = {name: frozenset(i for i, fate in zip(IDS, fates, strict=True) if fate == name) for name in set(fates)}
    unserved, ghosts = by_fate.get("unserved", frozenset()), by_fate.get("ghost", frozenset())
    world = World(Exchange(ghosts))
    extra = sorted(between, key=lambda item: item[0])
    for place, (name, *values) in enumerate(what_streams(fates, frames)):
        getattr(world, name)(*values)
        while extra and extra[0][0] <= place:
            _, (what, *args) = extra.pop(0)
            happen(world, what, args, unserved)
    world.settle(unserved)
    return world, unserved


def happen(world, what, args, unserved):
    match what, args:
        case "rest", [minute, without] if world.state.clock >= minute + MINUTE_MS:
            # What is in no answer of REST for good is in the first kline already, or the fault would prove itself.
            last = [made.trade_id for made in world.exchange.trades.values() if made.trade_time < minute + MINUTE_MS]
            world.rest(minute, 0 if unserved.intersection(last[-without:]) else without)
        case "repair", [trade_id] if trade_id in world.exchange.trades and trade_id not in unserved:
            segment = world.state.holdings.open_segment()
            if segment is not None and trade_id <= segment.hi:
                world.repair(trade_id)
        case "hole", [first, more]:
            # What REST has is never called a hole: it would have come.
            gone = [i for i in range(first, first + more + 1) if i in unserved or i not in world.exchange.trades]
            for trade_id in gone:
                world.hole(trade_id, trade_id)
        case "turn", []:
            world.turn()


@settings(max_examples=200, deadline=None)
@given(FATES, FRAMES, BETWEEN)
def test_a_minute_is_certified_if_and_only_if_it_is_whole(fates, frames, between):
    world, _ = told(fates, frames, between)

    held = {candle.open_time: candle for candle in fold(world.trades.values(), Interval.M1)}
    versions = world.versions
    newest_id = world.state.newest[0]
    for minute in MINUTES:
        theirs, ours = world.exchange.minutes.get(minute), held.get(minute)
        if theirs == ours:
            assert versions[minute].verdict == "certified", (minute - FIRST) / MINUTE_MS
            assert versions[minute].revision == (theirs.revision if theirs else 0)
        elif ours is None:
            # It may have closed as empty before anything showed that it was not; readers see none then (missing ids).
            assert minute not in versions or versions[minute].verdict != "certified"
            is_after_all = minute > world.state.newest[1]
            assert minute not in versions or is_after_all or missing_ids(world.coverage, minute, minute + MINUTE_MS)
        elif ours.last_trade_id != newest_id:
            assert versions[minute].verdict == "disputed"
        else:
            # The newest of all that is held: what comes after it is no gap yet.
            assert versions[minute].verdict != "certified"


@settings(max_examples=100, deadline=None)
@given(FATES, FRAMES, BETWEEN)
def test_a_hole_is_proved_if_and_only_if_its_minutes_are_whole_and_no_fill_is_skipped(fates, frames, between):
    world, unserved = told(fates, frames, between)

    coverage = world.coverage
    assert not coverage.gaps
    whole = {minute for minute, version in world.versions.items() if version.verdict == "certified"}
    for hole in coverage.holes:
        ids = set(range(hole.from_id, hole.to_id + 1))
        minutes = range(Interval.M1.open_of(hole.from_time), hole.to_time + 1, MINUTE_MS)
        if ids & unserved or not whole.issuperset(minutes):
            assert not hole.proved
    doubted = prove.doubted(coverage, list(MINUTES))
    for run in doubted:
        ids = set(range(run.from_id, run.to_id + 1))
        assert ids & unserved or not whole.issuperset(run.minutes)
    # What is certified all around is not missing, and nothing else is forgotten.
    # What lies after the newest trade held is missing by no id yet.
    ended = range(FIRST, min(END, Interval.M1.open_of(world.state.newest[1])), MINUTE_MS)
    assert all(missing_ids(coverage, at, at + MINUTE_MS) for at in ended if at not in whole and at in world.versions)


@settings(max_examples=100, deadline=None)
@given(FATES, FRAMES, BETWEEN)
def test_a_quarter_of_an_hour_is_certified_if_and_only_if_it_is_whole(fates, frames, between):
    world, unserved = told(fates, frames, between)
    theirs = roll_up(list(world.exchange.minutes.values()), Interval.M15)
    theirs = next(candle for candle in theirs if candle.open_time == FIRST)
    ids = {"first_fill_id": -1, "last_fill_id": -1, "source": "rest"}
    kline = kline_of(theirs, END, close_time=END - 1, **ids)
    parts = newest(of_record(record) for record in world.records).values()
    joined = join((part for part in parts if part.open_time in MINUTES), Interval.M15)
    if not joined:
        return

    clock = Clock(world.state.clock, world.state.minutes.closed_to)
    view = derive(with_kline(joined[0], kline, None), world.coverage, clock)

    is_whole = theirs.revision == sum(FIRST <= made.trade_time < END for made in world.trades.values())
    if view is None or view.state == "closed":
        # Nothing of it is held, or it is the repair's moment: what was filled lately may not be in its minutes yet.
        assert view is None or not is_whole
    else:
        assert (view.state == "certified") == is_whole
