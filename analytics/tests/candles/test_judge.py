"""One minute judged by itself: when a difference is a dispute, and when ids that nobody holds may explain it."""

import msgspec
import pytest

from analytics.candles.judge import Bucket, Standing, judge
from ingestion.pipeline.coverage import Segment, SymbolCoverage
from ingestion.pipeline.window import fold
from ingestion.tests.pipeline.factories import START, kline_of, make_trade
from markets.types import MINUTE_MS, Interval

TRADES = [make_trade(trade_id, trade_id * 1_000) for trade_id in (1, 2, 3, 4)]
LATER = START + 20 * MINUTE_MS
OPEN = Segment(START, 1, START)
SWITCHED_OFF = Segment(START, 0, START, to_id=3, covered_to=START + 2 * MINUTE_MS)
BEGUN_LATER = Segment(LATER, 9, LATER)


def judged(held, theirs, *segments, newest_id=9):
    """The state of START's minute of which ``held`` is held and ``theirs`` is what the exchange counts."""
    kline = kline_of(fold(theirs, Interval.M1)[0], LATER)
    bucket = Bucket("BTCUSDT", START, held, None, kline, 1)
    record = judge(bucket, SymbolCoverage(segments), Standing(LATER, LATER, newest_id))
    return record.state


def test_a_difference_in_the_middle_is_a_dispute():
    other = msgspec.structs.replace(TRADES[1], qty=7)

    assert judged(TRADES, [TRADES[0], other, *TRADES[2:]], OPEN) == "disputed"
    assert judged(TRADES[:3], [TRADES[0], other, TRADES[2]], SWITCHED_OFF, BEGUN_LATER) == "disputed"


def test_what_came_after_a_segment_ended_is_no_dispute():
    assert judged(TRADES[:3], TRADES, SWITCHED_OFF, BEGUN_LATER) == "closed"


def test_an_id_that_the_exchange_took_back_ends_a_segment_too():
    taken_back = make_trade(3, 3_000, price=0, qty=0, first_id=-1, last_id=-1)

    assert judged([*TRADES[:2], taken_back], TRADES, SWITCHED_OFF, BEGUN_LATER) == "closed"


def test_what_came_before_a_segment_began_is_no_dispute():
    begun = msgspec.structs.replace(OPEN, from_id=2)

    assert judged(TRADES[1:], TRADES, begun) == "closed"


@pytest.mark.parametrize(("newest_id", "state"), [(3, "closed"), (4, "disputed")])
def test_what_may_still_come_is_no_dispute(newest_id, state):
    """Only with a newer id held, and no gap before it, is there nothing to wait for."""
    assert judged(TRADES[:3], TRADES, OPEN, newest_id=newest_id) == state
