"""When kline frames are due."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion.binance.simulator.calendar import KlineCalendar, parse_stream
from markets.types import HOUR_MS, MINUTE_MS, Interval

NOON = 1_700_000_000_000 // HOUR_MS * HOUR_MS
names = st.builds("{}usdt@kline_{}".format, st.sampled_from("abcdefgh"), st.sampled_from([i.value for i in Interval]))


def pushes(name: str, start: int, end: int):
    calendar = KlineCalendar(parse_stream(name))
    push = calendar.after(start)
    while push.due <= end:
        yield push
        push = calendar.after(push.due)


@given(names, st.integers(0, 86_400_000))
def test_a_running_kline_is_pushed_every_two_seconds(name, offset):
    every = 1000 if name.endswith("_1s") else 2000
    dues = [push.due for push in pushes(name, NOON + offset, NOON + offset + 61_000) if not push.closes]

    assert {b - a for a, b in zip(dues, dues[1:], strict=False)} == {every}


@pytest.mark.parametrize(
    ("interval", "count", "latest"), [("1s", 3600, 5), ("1m", 60, 500), ("15m", 4, 500), ("1h", 1, 500)]
)
def test_each_bucket_closes_once_shortly_after_its_end(interval, count, latest):
    width = Interval(interval).width_ms
    closes = [push for push in pushes(f"btcusdt@kline_{interval}", NOON + 600, NOON + HOUR_MS + 600) if push.closes]

    assert [push.open_time for push in closes] == [NOON + number * width for number in range(count)]
    assert all(1 <= push.due - push.open_time - width <= latest for push in closes)


@given(names)
def test_no_running_frame_of_the_next_bucket_comes_before_the_close(name):
    opened = None
    for push in pushes(name, NOON + 3 * MINUTE_MS + 600, NOON + 6 * MINUTE_MS):
        if opened is not None and push.open_time != opened.open_time:
            assert opened.closes
        opened = push


@pytest.mark.parametrize(
    "name", ["BTCUSDT@aggTrade", "btcusdt@kline_2m", "btcusdt@depth", "btcusdt", "!miniTicker@arr"]
)
def test_other_streams_stay_silent(name):
    assert parse_stream(name) is None


def test_days_of_utc_plus_eight_open_at_sixteen_utc():
    calendar = KlineCalendar(parse_stream("btcusdt@kline_1d@+08:00"))

    assert calendar.open_of(NOON) % (24 * HOUR_MS) == 16 * HOUR_MS
