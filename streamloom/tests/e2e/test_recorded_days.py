"""Recorded days as fast as they can be read: every hour and the day as the exchange itself reported them.

In both modes: one process with its own stores, and every role a process of its own on real servers. The truth is the
same in both, to the last digit of each candle.
"""

import datetime as dt
import hashlib
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from markets.types import DAY_MS, HOUR_MS, Interval
from streamloom.tests.e2e import answers, oracle
from streamloom.tests.e2e.answers import Json
from streamloom.tests.e2e.exchange import RunningExchange
from streamloom.tests.e2e.following import Following, Together, WithServers
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


# Every minute, hour and day from the first trade on, as the embedded mode gives them.
HASHES = {
    "2019-05-25": "42ef3f8a80e1a79294558f74bf433327083dc3e071cc5138be9e6aae45fea6e5",
    "2019-06-01": "267a9029168fd032ca376f958932e3c12c60b4edccb9861802d99e044fcabec9",
}


class Day(NamedTuple):
    """A recorded day that was read to its end."""

    demo: Following
    start: int
    path: Path

    def candles(self, interval: Interval) -> list[Json]:
        return answers.candles(self.demo, SYMBOL, interval, self.start, self.start + DAY_MS)

    def coverage(self) -> Json:
        return answers.coverage(self.demo, SYMBOL)


@pytest.fixture(params=["embedded", pytest.param("services", marks=pytest.mark.services)])
def follow(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[RunningExchange], Following]:
    """What follows an exchange."""
    if request.param == "embedded":
        return partial(Together, folder=tmp_path, symbol=SYMBOL)
    for server in ("kafka", "postgres", "redis", "clickhouse_server"):
        request.getfixturevalue(server)
    return partial(WithServers, request.getfixturevalue("services"), tmp_path, symbol=SYMBOL)


@pytest.fixture
def day(request: pytest.FixtureRequest, follow: Callable[[RunningExchange], Following]) -> Iterator[Day]:
    """The day of the parameter, replayed at speed 0."""
    path = oracle.DATA / f"trades/{request.param}-{SYMBOL}.csv.gz"
    start = int(dt.datetime.fromisoformat(request.param).replace(tzinfo=dt.UTC).timestamp() * 1000)
    exchange = RunningExchange("--replay", path, "--speed", 0)
    demo = None
    try:
        demo = follow(exchange)
        replayed = Day(demo, start, path)
        # After its last row the replay sends klines through the end of the day.
        demo.until(lambda: (replayed.coverage().get("feed_time") or 0) >= start + DAY_MS, "the end of the day", 240)
        yield replayed
    finally:
        if demo is not None:
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
    assert hash_of(day, truth[0].trade_time) == HASHES["2019-05-25"]
    assert day.demo.problems(held) == []


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
    assert hash_of(day, truth[0].trade_time) == HASHES["2019-06-01"]


def gaps_of(ids: list[int]) -> list[tuple[int, int]]:
    """The inclusive ranges of ids that are not there."""
    return [(low + 1, high - 1) for low, high in zip(ids, ids[1:], strict=False) if high > low + 1]


def settled_hours(day: Day, touched: set[int]) -> bool:
    """True when every hour but the touched ones is certified."""
    return all(row["state"] == "certified" for row in day.candles(Interval.H1) if row["open_time"] not in touched)


def hash_of(day: Day, first_time: int) -> str:
    """One for all candles that began with the first trade or later, in every field that follows from the trades."""
    names = ("open_time", *oracle.TRUTH_FIELDS)
    rows = [
        [interval.value, *(row[name] for name in names)]
        for interval in (Interval.M1, Interval.H1, Interval.D1)
        for row in day.candles(interval)
        if row["open_time"] >= interval.open_of(first_time)
    ]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()
