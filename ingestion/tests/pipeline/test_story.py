"""What is told of the holdings, folded, equals the holdings: after every commit, wherever commits are cut."""

from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.pipeline.coverage import fold_events
from ingestion.pipeline.process import Outputs, SymbolProcessor, SymbolState, condense
from ingestion.pipeline.records import Asked, Hole, Joined, Proved, Trade, Unwatch, Want
from ingestion.tests.pipeline.factories import START, make_trade
from markets.types import MINUTE_MS, Asset

IDS = st.integers(1, 40)
TRADE = st.builds(lambda trade_id: ("trade", trade_id), IDS)
HOLE = st.builds(lambda first, count: ("hole", first, first + count), IDS, st.integers(0, 12))
PROVED = st.builds(lambda first, count: ("proved", first, first + count), IDS, st.integers(0, 12))
WANTED = st.builds(lambda first, cause: ("want", first, cause), IDS, st.sampled_from(["start", "backfill"]))
ASKED = st.builds(lambda first, count: ("asked", first, first + count), IDS, st.integers(0, 12))
JOINED = st.builds(lambda cause: ("joined", cause), st.sampled_from(["ours", "disconnect"]))
NEXT = st.builds(lambda skip: ("next", skip), st.integers(0, 6))
FROM_NEXT = st.just(("want", None, "start"))
UNWATCH = st.just(("unwatch",))
STEPS = st.lists(
    st.tuples(
        st.one_of(TRADE, NEXT, NEXT, NEXT, HOLE, PROVED, ASKED, JOINED, WANTED, FROM_NEXT, UNWATCH), st.booleans()
    ),
    max_size=40,
)


def time_of(trade_id: int) -> int:
    """Ids and times rise together; a day and more of silence lies between 20 and 21."""
    return START + trade_id * 17_000 + (90_000_000 if trade_id > 20 else 0)


def record_of(step, newest: int):
    match step:
        case ("trade", trade_id):
            return make_trade(trade_id, time_of(trade_id) - START)
        case ("next", skip):
            return make_trade(newest + 1 + skip, time_of(newest + 1 + skip) - START)
        case ("hole", first, last):
            return Hole("BTCUSDT", first, last, "not_served", time_of(newest))
        case ("proved", first, last):
            return Proved("BTCUSDT", first, last, time_of(newest))
        case ("asked", first, last):
            return Asked("BTCUSDT", first, last, "repairing", time_of(newest))
        case ("joined", cause):
            return Joined("BTCUSDT", cause, time_of(newest))
        case ("want", first, cause):
            moment = time_of(newest + 1 if first is None else first) + 1
            return Want("BTCUSDT", first, moment - moment % MINUTE_MS, cause, max(moment, time_of(newest)))
    return Unwatch("BTCUSDT", time_of(newest) + 1)


class Story:
    """A processor, what it has published in batches, and the ids that it let through."""

    def __init__(self):
        self.state = SymbolState.new("BTCUSDT")
        self.told, self.accepted, self.newest = [], [], 0
        self._out = Outputs()

    def take(self, step):
        record = record_of(step, self.newest)
        if isinstance(record, Trade):
            self.newest = max(self.newest, record.trade_id)
        SymbolProcessor(self.state, Asset("BTC", "USDT"), self._out).apply(0, record, b"", "")

    def commit(self):
        self.told += condense(self._out.coverage)
        self.accepted += [enriched.trade.trade_id for _, enriched in self._out.enriched]
        self._out = Outputs()


@settings(max_examples=400, deadline=None)
@given(STEPS)
def test_the_story_folded_equals_the_holdings_after_every_commit(steps):
    story = Story()
    for step, is_end in steps:
        story.take(step)
        if is_end:
            story.commit()
            assert_same(fold_events(story.told), story.state.holdings)
    story.commit()
    assert_same(fold_events(story.told), story.state.holdings)


@settings(max_examples=400, deadline=None)
@given(STEPS)
def test_every_id_of_a_segment_was_let_through_once_or_is_known_to_be_missing(steps):
    story = Story()
    for step, _ in steps:
        story.take(step)
    story.commit()

    assert len(story.accepted) == len(set(story.accepted))
    spanned, missing = set(), []
    for segment in story.state.holdings.segments:
        spanned |= set(range(segment.lo, segment.hi + 1))
        for span in (*segment.gaps, *segment.holes):
            assert segment.lo <= span.from_id <= span.to_id <= segment.hi
            missing += range(span.from_id, span.to_id + 1)
    assert len(missing) == len(set(missing))
    assert spanned - set(missing) == set(story.accepted) & spanned
    assert set(story.accepted) <= spanned


def assert_same(coverage, holdings):
    segments = holdings.segments
    assert [(s.name, s.from_id, s.covered_from, s.covered_to) for s in coverage.segments] == [
        (s.name, s.lo, s.covered_from, s.closed_at) for s in segments
    ]
    for told, kept in (
        (coverage.gaps, [span for s in segments for span in s.gaps]),
        (coverage.holes, [span for s in segments for span in s.holes]),
    ):
        assert [(span.from_id, span.to_id, span.from_time, span.to_time, span.cause, span.proved) for span in told] == [
            (span.from_id, span.to_id, span.from_time, span.to_time, span.cause, span.proved) for span in kept
        ]
