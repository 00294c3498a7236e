"""Recorded days as fast as they can be read: every hour and the day as the exchange itself reported them."""

import datetime as dt
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from markets.types import DAY_MS, HOUR_MS, Interval
from streamloom.tests.demo.running import RunningDemo
from streamloom.tests.e2e import answers, oracle, verdict
from streamloom.tests.e2e.answers import Json
from streamloom.tests.e2e.exchange import RunningExchange
from streamloom.tests.e2e.oracle import KLINE_FIELDS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not oracle.DATA.exists(), reason=oracle.WHY_SKIPPED),
]

SYMBOL = "ADAUSDT"
FILES = {Interval.H1: "ADAUSDT-1h_2019-05-25_and_2019-06-01.kidogb.csv"} | {
    Interval.D1: "ADAUSDT-1d_2019-05-25_and_2019-06-01.kidogb.csv"
}


class Day(NamedTuple):
    """A recorded day that the demo has read to its end."""

    demo: RunningDemo
    start: int
    path: Path
    folder: Path

    def candles(self, interval: Interval) -> list[Json]:
        return answers.candles(self.demo, SYMBOL, interval, self.start, self.start + DAY_MS)

    def coverage(self) -> Json:
        return answers.coverage(self.demo, SYMBOL)


@pytest.fixture
def day(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Day]:
    """The day of the parameter, replayed at speed 0."""
    path = oracle.DATA / f"trades/{request.param}-{SYMBOL}.csv.gz"
    start = int(dt.datetime.fromisoformat(request.param).replace(tzinfo=dt.UTC).timestamp() * 1000)
    exchange = RunningExchange("--replay", path, "--speed", 0)
    demo = RunningDemo(exchange, tmp_path, "--symbols", SYMBOL, "--history", "0")
    try:
        replayed = Day(demo, start, path, tmp_path)
        # After its last row the replay sends klines through the end of the day.
        demo.until(lambda: (replayed.coverage().get("feed_time") or 0) >= start + DAY_MS, "the end of the day")
        yield replayed
    finally:
        demo.kill()
        exchange.kill()


def as_reported(rows: list[Json]) -> list[Json]:
    """The fields that the exchange's candles have."""
    return [{name: row[name] for name in KLINE_FIELDS} for row in rows]


def wait_for(day: Day, interval: Interval, expected: list[Json]) -> list[Json]:
    """The candles, as soon as there are as many closed ones as expected and none of them waits for its verdict."""
    return day.demo.until(
        lambda: (rows := day.candles(interval)) and len(rows) == len(expected) and rows, f"every {interval.value}", 30
    )


@pytest.mark.parametrize("day", ["2019-05-25"], indirect=True)
def test_a_recorded_day_equals_the_exchanges_candles_in_every_field_and_is_certified(day: Day) -> None:
    truth = oracle.recorded(day.path)
    minutes = oracle.candles(truth, Interval.M1, day.start, day.start + DAY_MS)

    day.demo.until(
        lambda: {row["state"] for row in day.candles(Interval.M1)} == {"certified"}, "every minute certified"
    )

    for interval, name in FILES.items():
        expected = oracle.exchange_klines(name, day.start)
        rows = wait_for(day, interval, expected)
        assert as_reported(rows) == expected
        assert {row["state"] for row in rows} == {"certified"}
        assert {row["missing"] for row in rows} == {0}
    found = day.candles(Interval.M1)
    # The minutes before the day's first trade have no price that anyone could know.
    first = next(place for place, row in enumerate(minutes) if row["agg_trades"])
    assert answers.difference(found[-len(minutes) + first :], minutes[first:]) == ""
    held = day.coverage()
    assert (held["complete"], held["gaps"], held["held"]) == (True, [], len(truth))
    stop_and_check(day, held)


@pytest.mark.parametrize("day", ["2019-06-01"], indirect=True)
def test_a_recorded_day_with_lost_ids_reports_exactly_these_and_exactly_the_hours_they_touch(day: Day) -> None:
    truth = oracle.recorded(day.path)
    gaps = gaps_of([trade.trade_id for trade in truth])
    times = {trade.trade_id: trade.trade_time for trade in truth}
    touched = {Interval.H1.open_of(times[end]) for low, high in gaps for end in (low - 1, high + 1)}
    expected = oracle.exchange_klines(FILES[Interval.H1], day.start)
    wait_for(day, Interval.H1, expected)

    settled = partial(settled_hours, day, touched)
    day.demo.until(settled, "a verdict for every hour")

    rows = day.candles(Interval.H1)
    right = [row for row in rows if row["open_time"] not in touched]
    assert as_reported(right) == [row for row in expected if row["close_time"] // HOUR_MS * HOUR_MS not in touched]
    assert (len(right), len(rows)) == (21, 24)
    assert {row["missing"] for row in right} == {0}
    assert all(row["missing"] > 0 and row["state"] != "certified" for row in rows if row["open_time"] in touched)
    held = day.coverage()
    assert [(gap["from_id"], gap["to_id"]) for gap in held["gaps"]] == gaps
    assert [(gap["from_time"], gap["to_time"]) for gap in held["gaps"]] == [
        (times[low - 1], times[high + 1]) for low, high in gaps
    ]
    assert (held["missing"], held["complete"], held["held"]) == (31, False, len(truth))
    [whole_day] = day.candles(Interval.D1)
    assert (whole_day["missing"], whole_day["agg_trades"]) == (31, len(truth))


def gaps_of(ids: list[int]) -> list[tuple[int, int]]:
    """The inclusive ranges of ids that are not there."""
    return [(low + 1, high - 1) for low, high in zip(ids, ids[1:], strict=False) if high > low + 1]


def settled_hours(day: Day, touched: set[int]) -> bool:
    """True when every hour but the touched ones is certified."""
    return all(row["state"] == "certified" for row in day.candles(Interval.H1) if row["open_time"] not in touched)


def stop_and_check(day: Day, held: Json) -> None:
    """Nothing twice in log and journal."""
    day.demo.until(lambda: answers.dirty(day.folder) == 0, "the last rebuild")
    assert day.demo.stop() == 0
    assert verdict.sound(day.folder, {SYMBOL: held})["letters"] == []
