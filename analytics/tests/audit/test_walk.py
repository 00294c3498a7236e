"""Which days are looked at, and that only what differs at every look is told."""

import pytest

from analytics.audit import standing
from analytics.audit.findings import Day, Skipped
from analytics.audit.walk import Wish, audit
from analytics.tests.audit.conftest import TRADES, WANT
from analytics.tests.samples import BTC, MINUTE, TEN, kline_of
from ingestion.pipeline.window import empty_candle
from markets.types import DAY_MS, Interval

pytestmark = pytest.mark.django_db(transaction=True)

DAY = Interval.D1.open_of(TEN)
WRONG = f"ALTER TABLE candles UPDATE volume = volume + 1 WHERE interval = '1h' AND symbol = '{BTC}'"
RIGHT = WRONG.replace("+", "-")


def days_of(found) -> list[str]:
    return [day.day for day in found if isinstance(day, Day)]


def test_every_day_that_is_covered_is_looked_at_and_only_those_that_are_wanted(pipeline) -> None:
    quiet = empty_candle(BTC, Interval.M1, DAY + DAY_MS, 1)
    later = kline_of(quiet, closed=False, event_time=DAY + 2 * DAY_MS + 5 * MINUTE)
    # The empty minutes of a day and a half come in two portions.
    pipeline.take([WANT, *TRADES, later]).take([later]).settle()
    log = pipeline.stage.log

    assert days_of(audit(log, Wish())) == ["2019-06-01", "2019-06-02", "2019-06-03"]
    assert days_of(audit(log, Wish(start=DAY + DAY_MS))) == ["2019-06-02", "2019-06-03"]
    assert days_of(audit(log, Wish([BTC], DAY + DAY_MS, DAY + 2 * DAY_MS))) == ["2019-06-02"]
    assert all(not day.differences for day in audit(log, Wish()))


def test_what_is_gone_at_the_second_look_was_only_on_its_way(healthy, tamper) -> None:
    tamper(WRONG)
    waited: list[float] = []

    def repaired_meanwhile(seconds: float) -> None:
        waited.append(seconds)
        tamper(RIGHT)

    [day] = audit(healthy.stage.log, Wish(), look_again_s=(1.0, 2.0), wait=repaired_meanwhile)

    assert (day.differences, waited) == ((), [1.0])


def test_what_differs_at_every_look_is_told_and_nothing_that_came_in_between(healthy, tamper) -> None:
    tamper(WRONG)

    def another_one(_: float) -> None:
        tamper(f"ALTER TABLE candles UPDATE high = high + 1 WHERE interval = '1m' AND open_time = {moment(TEN)}")

    [day] = audit(healthy.stage.log, Wish(), look_again_s=(1.0,), wait=another_one)

    assert {one.interval for one in day.differences} == {"1h"}


def moment(time: int) -> str:
    return f"fromUnixTimestamp64Milli({time})"


def test_a_symbol_whose_trades_wait_in_great_numbers_is_skipped_with_the_reason(healthy, monkeypatch) -> None:
    monkeypatch.setattr(standing, "_MOST_WAITING", 2)
    healthy.take([kline_of(empty_candle(BTC, Interval.M1, TEN, 1), event_time=DAY + 23 * 60 * MINUTE)])

    [skipped] = audit(healthy.stage.log, Wish())

    assert isinstance(skipped, Skipped)
    assert "behind in candles_1m" in skipped.why


def test_a_symbol_of_which_no_minute_has_closed_is_skipped(stage) -> None:
    assert [type(one) for one in audit(stage.log, Wish([BTC]))] == [Skipped]
