from hypothesis import given
from hypothesis import strategies as st

from analytics.reading.known import of_record
from analytics.tests.samples import HOUR, MINUTE, TEN, candle, closed
from analytics.ws.folding import Fold
from ingestion.pipeline.records import Candle
from ingestion.pipeline.window import empty_candle, roll_up
from markets.types import SCALE, Interval

WIDER = [interval for interval in Interval if interval not in (Interval.S1, Interval.M1)]


@st.composite
def minutes(draw) -> list[Candle]:
    """Closed minutes in order, some without trades, some unknown."""
    found, trade_id, price = [], 1, 100 * SCALE
    for number in range(draw(st.integers(1, 90))):
        count = draw(st.sampled_from([None, 0, 1, 3]))
        open_time = TEN - 40 * MINUTE + number * MINUTE
        if count == 0:
            found.append(empty_candle("BTCUSDT", Interval.M1, open_time, price))
        elif count:
            price = draw(st.integers(1, 500)) * SCALE
            found.append(candle(open_time, (trade_id, trade_id + count - 1), price))
            trade_id += count
    return found


def whole(fold: Fold, running: tuple[Candle, ...] = ()) -> list[Candle]:
    return [known.candle for known in fold.forming(running)]


@given(minutes(), st.sampled_from(WIDER), st.data())
def test_folding_gives_what_roll_up_gives_of_the_same_minutes(held, interval, data):
    fold = Fold(interval)
    start = interval.open_of(TEN - 40 * MINUTE)
    fold.seed(start, ())
    told: dict[int, Candle] = {}
    for minute in held:
        repeats = data.draw(st.integers(1, 2))
        assert [fold.take(of_record(closed(minute))) for _ in range(repeats)] == [None] * repeats
        told |= {known.open_time: known.candle for known in fold.close(minute.open_time + MINUTE)}
    end = fold.closed_to
    told |= {known.open_time: known.candle for known in fold.close(interval.next_open(interval.open_of(end)))}

    expected = {rolled.open_time: rolled for rolled in roll_up(held, interval)}

    # With no trade before it the price of an empty candle is whatever it was stored with.
    assert {k: v for k, v in told.items() if v.agg_trades} == {k: v for k, v in expected.items() if v.agg_trades}
    assert told.keys() == expected.keys()


def test_the_forming_minute_is_part_of_the_forming_hour():
    fold = Fold(Interval.H1)
    fold.seed(TEN + MINUTE, [of_record(closed(candle(TEN, (1, 2))))])
    running = candle(TEN + MINUTE, (3, 4), 200 * SCALE)

    [hour] = fold.forming([running])

    assert hour.forming
    assert hour.candle == roll_up([candle(TEN, (1, 2)), running], Interval.H1)[0]


def test_a_minute_that_closed_counts_once_though_it_is_still_told_as_running():
    fold = Fold(Interval.H1)
    fold.take(of_record(closed(candle(TEN, (1, 2)))))

    [hour] = fold.forming([candle(TEN, (1, 2))])

    assert hour.candle.agg_trades == 2


def test_a_late_revision_of_a_closed_hour_that_is_held_makes_it_news():
    fold = Fold(Interval.H1)
    fold.seed(TEN, ())
    fold.take(of_record(closed(candle(TEN + 59 * MINUTE, (1, 2)))))
    assert [known.open_time for known in fold.close(TEN + HOUR)] == [TEN]

    answer = fold.take(of_record(closed(candle(TEN + 59 * MINUTE, (1, 3)), reason="late")))

    assert answer is None
    assert [known.candle.agg_trades for known in fold.revised()] == [3]
    assert fold.revised() == []


def test_an_older_revision_is_no_news():
    fold = Fold(Interval.H1)
    fold.seed(TEN, ())
    fold.take(of_record(closed(candle(TEN, (1, 3)))))
    fold.close(TEN + HOUR)

    fold.take(of_record(closed(candle(TEN, (1, 2)), reason="late")))

    assert fold.revised() == []


def test_a_revision_of_an_hour_that_is_not_held_asks_for_a_read():
    fold = Fold(Interval.H1)
    fold.seed(TEN + 5 * HOUR, ())

    assert fold.take(of_record(closed(candle(TEN, (1, 2)), reason="backfill"))) == TEN


def test_a_minute_inside_a_seeded_hour_asks_for_a_read_of_the_day():
    day = Interval.D1.open_of(TEN)
    hour = roll_up([candle(day, (1, 2))], Interval.H1)[0]
    fold = Fold(Interval.D1)
    fold.seed(day + HOUR, [of_record(closed(hour))])

    assert fold.take(of_record(closed(candle(day, (1, 3)), reason="late"))) == day


def test_a_day_of_minutes_is_the_same_candle_though_old_hours_are_kept_as_one():
    day = Interval.D1.open_of(TEN)
    held = [candle(day + n * MINUTE, (n * 2, n * 2 + 1), (100 + n % 7) * SCALE) for n in range(1440)]
    fold = Fold(Interval.D1)
    fold.seed(day, ())
    for number, minute in enumerate(held):
        fold.take(of_record(closed(minute, state="certified")))
        if number % 100 == 50:
            # A correction of the last minute: the sum must be made anew.
            fold.take(of_record(closed(minute, state="certified", reason="verdict", known_at=1)))
            whole(fold, (candle(minute.open_time + MINUTE, (10_000, 10_001)),))

    [told] = fold.close(day + 24 * HOUR)

    assert told.candle == roll_up(held, Interval.D1)[0]
    assert (told.minutes, told.certified) == (1440, 1440)
