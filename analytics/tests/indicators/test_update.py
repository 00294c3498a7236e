"""From stored klines to stored indicators: what is computed when, and what a kill or a lost wake-up may cost."""

import io
import random

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from analytics.clickhouse.client import client
from analytics.indicators import store, update
from analytics.indicators.catalogue import KEPT_WARM_UP
from analytics.indicators.compute import values
from analytics.indicators.update import Span, spans
from analytics.models import SinkPosition
from analytics.sink.load import load
from ingestion.log import codec
from ingestion.log.topics import PRICES
from ingestion.pipeline.records import Kline
from markets.types import SCALE, Interval

pytestmark = pytest.mark.django_db(transaction=True)

TOPIC = PRICES["1m"].name
MINUTE = 60_000
# 2019-06-01 00:00 UTC.
DAY = 1_559_347_200_000
SYMBOL = "BTCUSDT"


def kline(minute: int, price: float = 0.0, symbol: str = SYMBOL, source: str = "rest", *, closed: bool = True) -> Kline:
    cents = round((price or 100 + 10 * np.sin(minute / 9.0)) * 100)
    close = cents * SCALE // 100
    open_time = DAY + minute * MINUTE
    amounts = (SCALE * (1 + minute % 5), SCALE * 500, 7, SCALE, SCALE * 100)
    return Kline(symbol, "1m", open_time, open_time + MINUTE - 1, close, close + SCALE, close - SCALE, close, *amounts,
                 -1, -1, closed, source, open_time + MINUTE)  # fmt: skip


def put(log, *klines: Kline) -> None:
    log.append(TOPIC, [codec.to_record(each) for each in klines])


def sink(log) -> None:
    load(log, TOPIC, 0, max_rows=100_000, chance=random.Random(1))


def turn(log) -> int:
    return update.update(log, TOPIC, 0, chance=random.Random(1))


def stored(symbol: str = SYMBOL) -> dict[int, dict[str, float]]:
    query = (
        "SELECT toUnixTimestamp64Milli(open_time), values FROM indicators FINAL "
        f"WHERE symbol = '{symbol}' AND interval = '1m' ORDER BY open_time"
    )
    return dict(client().query(query).result_rows)


def check(symbol: str = SYMBOL) -> None:
    """What is stored equals TA-Lib over everything that is stored."""
    bars = store.read_bars(symbol, Interval.M1, 0, 2**60)
    whole, held = values(bars, Interval.M1), stored(symbol)
    assert list(held) == bars.open_time.tolist()
    for place, open_time in enumerate(held):
        for name, column in whole.items():
            if np.isnan(column[place]):
                assert name not in held[open_time]
            else:
                error = abs(held[open_time][name] - column[place])
                assert error <= 3e-7 * max(abs(column[place]), 100.0), (name, place)


def test_a_history_and_then_minute_by_minute(clickhouse, log):
    put(log, *map(kline, range(1_000)))
    sink(log)
    assert turn(log) == 1_000

    for minute in range(1_000, 1_010):
        put(log, kline(minute))
        sink(log)
        assert turn(log) == 1

    check()
    assert turn(log) == 0


def test_nothing_is_computed_before_it_is_stored(clickhouse, log):
    put(log, *map(kline, range(30)))
    assert turn(log) == 0

    sink(log)
    assert turn(log) == 30


def test_a_late_and_a_corrected_kline_change_what_follows_them(clickhouse, log):
    put(log, *(kline(minute) for minute in range(700) if minute != 40))
    sink(log)
    turn(log)

    put(log, kline(40), kline(300, price=250.0))
    sink(log)
    turn(log)

    check()


def test_history_that_comes_later_joins_on(clickhouse, log):
    put(log, *map(kline, range(500, 700)))
    sink(log)
    turn(log)

    put(log, *map(kline, range(-2_000, 500)))
    sink(log)
    turn(log)

    check()


def test_running_klines_are_none(clickhouse, log):
    put(log, kline(1), kline(2, closed=False))
    sink(log)

    assert turn(log) == 1


def test_symbols_are_kept_apart(clickhouse, log):
    put(log, *(kline(minute, symbol=name) for minute in range(60) for name in (SYMBOL, "ETHUSDT")))
    sink(log)

    assert turn(log) == 120
    check()
    check("ETHUSDT")


def test_a_kill_before_the_place_moves_repeats_the_turn(clickhouse, log, monkeypatch):
    put(log, *map(kline, range(100)))
    sink(log)

    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(update.positions, "advance", die)
        with pytest.raises(Killed):
            turn(log)
    assert turn(log) == 0  # The dead one's lease still runs.
    SinkPosition.objects.filter(topic__startswith="indicators:").update(lease_until=None)

    assert turn(log) == 100
    check()


def test_a_failure_is_kept_and_tried_again(clickhouse, log, monkeypatch):
    put(log, *map(kline, range(10)))
    sink(log)

    def fail(*_: object) -> None:
        raise OSError("ClickHouse is away")

    with monkeypatch.context() as patched:
        patched.setattr(store, "read_bars", fail)
        assert turn(log) == 0
    row = SinkPosition.objects.get(topic=f"indicators:{TOPIC}")
    assert (row.next_offset, row.attempts, "away" in row.error) == (0, 1, True)
    SinkPosition.objects.update(retry_at=None)

    assert turn(log) == 10


def test_everything_can_be_computed_anew(clickhouse, log, monkeypatch):
    put(log, *map(kline, range(300)))
    sink(log)
    monkeypatch.setattr("analytics.management.commands.compute_indicators.open_log", lambda: log)

    call_command("compute_indicators", "--symbol", SYMBOL, stdout=(told := io.StringIO()))

    assert told.getvalue() == "BTCUSDT 1m: 300 candles\n"
    check()
    with pytest.raises(CommandError, match="No such klines"):
        call_command("compute_indicators", "--symbol", "NOTHING")


def test_the_place_is_told_for_the_dispatcher(clickhouse, log):
    assert update.places(log) == {}
    put(log, *map(kline, range(3)))
    sink(log)
    turn(log)

    assert {place.topic: end for place, end in update.places(log).items()} == {TOPIC: 3}


def test_spans_that_touch_are_computed_together_and_others_are_not():
    week = 7 * 86_400_000

    found = list(spans([DAY, DAY + MINUTE, DAY + week, DAY + week + 5 * MINUTE], Interval.M1))

    assert found == [Span(DAY, DAY + MINUTE), Span(DAY + week, DAY + week + 5 * MINUTE)]
    assert week > KEPT_WARM_UP * MINUTE
