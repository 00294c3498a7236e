"""What is stored as the pipeline makes it agrees with itself; whatever is changed behind its back is found."""

import pytest

from analytics.audit import repair
from analytics.audit.findings import Check, Remedy
from analytics.clickhouse.client import client
from analytics.models import Dirty
from analytics.tests.audit.conftest import (
    FIRST,
    LAST,
    MINUTES,
    TRADES,
    WANT,
    in_time,
    larger_klines,
    minute_klines,
)
from analytics.tests.samples import BTC, HOUR, MINUTE, TEN, put
from ingestion.log import codec
from ingestion.log.topics import RAW_TRADES
from ingestion.pipeline.digest import digest
from ingestion.pipeline.records import Hole, Lost
from ingestion.pipeline.window import empty_candle
from markets.types import SCALE, Interval

pytestmark = pytest.mark.django_db(transaction=True)

WHERE = f"symbol = '{BTC}' AND interval = '1m' AND open_time = fromUnixTimestamp64Milli({TEN + 5 * MINUTE})"


def at(time: int) -> str:
    return f"fromUnixTimestamp64Milli({time})"


def told(day) -> list[tuple[str, str]]:
    return [(one.check.value, one.remedy.value) for one in day.differences]


def test_a_healthy_day_agrees_in_everything(healthy) -> None:
    day = healthy.day()

    assert day.differences == ()
    assert (day.day, day.until) == ("2019-06-01", TEN + 2 * HOUR)
    assert (day.trades, day.candles, day.certified, day.disputed) == (len(TRADES), 120, 120, 0)
    assert (day.missing, day.holes, day.waiting, day.uncertified) == (0, 0, 0, 0)
    [account] = day.ids
    assert (account.first, account.last, account.held) == (FIRST, LAST, LAST - FIRST + 1)
    empty = [empty_candle(BTC, Interval.M1, TEN + 7 * MINUTE + hour * HOUR, 0) for hour in (0, 1)]
    assert day.digest == digest([*MINUTES, *empty])


def test_a_trade_that_left_the_store_is_lost_and_asked_for_again(healthy, tamper) -> None:
    tamper(f"ALTER TABLE trades_enriched DELETE WHERE trade_id IN ({FIRST + 20}, {FIRST + 21}, {LAST})")

    day = healthy.day()

    lost = [(one.from_id, one.to_id) for one in day.differences if one.check is Check.IDS]
    assert lost == [(FIRST + 20, FIRST + 21), (LAST, LAST)]
    assert {one.remedy for one in day.differences if one.check is Check.IDS} == {Remedy.REFETCH}
    # The candles say more than their stored trades do.
    short = {one.open_time for one in day.differences if one.check is Check.CANDLES}
    assert short == {minute for place in (20, 21, -1) for minute in [Interval.M1.open_of(TRADES[place].trade_time)]}
    repair.ask(healthy.stage.log, [day])
    end = healthy.stage.log.end_offset(RAW_TRADES.name, 0)
    asked = [codec.raw(stored.value) for stored in healthy.stage.log.read_range(RAW_TRADES.name, 0, 0, end)]
    assert [(type(one), one.from_id, one.to_id) for one in asked] == [
        (Lost, FIRST + 20, FIRST + 21),
        (Lost, LAST, LAST),
    ]
    assert (asked[0].from_time, asked[0].to_time) == (TRADES[19].trade_time, TRADES[22].trade_time)
    # The processor opens the gaps, repair fetches, and everything agrees again.
    healthy.take(asked).take([TRADES[20], TRADES[21], TRADES[-1]]).settle()
    assert healthy.day().differences == ()


@pytest.mark.parametrize(
    "column",
    ["open", "high", "low", "close", "volume", "quote_volume", "taker_buy_volume", "taker_buy_quote_volume"]
    + ["trades", "first_trade_id", "last_trade_id", "first_fill_id", "last_fill_id", "quote_rounding"],
)
def test_a_stored_candle_that_its_trades_do_not_make_is_found_field_by_field_and_stated_anew(
    healthy, tamper, column
) -> None:
    tamper(f"ALTER TABLE candles UPDATE {column} = {column} + 1 WHERE {WHERE}")

    day = healthy.day()

    [difference] = [one for one in day.differences if one.check is Check.CANDLES]
    assert (difference.open_time, list(difference.fields or {})) == (TEN + 5 * MINUTE, [column])
    repair.ask(healthy.stage.log, [day])
    assert healthy.settle().day().differences == ()


def test_a_candle_that_left_the_store_is_stated_anew_empty_or_not(healthy, tamper) -> None:
    before = healthy.day()
    tamper(
        "ALTER TABLE candles DELETE WHERE interval = '1m' AND open_time IN "
        f"({at(TEN + 5 * MINUTE)}, {at(TEN + 7 * MINUTE)})"
    )

    day = healthy.day()

    minutes = [one for one in day.differences if one.check is Check.CANDLES]
    assert [one.open_time for one in minutes] == [TEN + 5 * MINUTE, TEN + 7 * MINUTE]
    repair.ask(healthy.stage.log, [day])
    after = healthy.settle().day()
    assert (after.differences, after.digest, after.certified) == ((), before.digest, 120)


def test_a_roll_up_that_its_minutes_do_not_make_is_found_and_made_again(healthy, tamper) -> None:
    tamper(f"ALTER TABLE candles UPDATE volume = volume + 1 WHERE interval = '1h' AND open_time = {at(TEN)}")

    day = healthy.day()

    assert told(day) == [("roll_ups", "roll_up")]
    assert (day.differences[0].interval, day.differences[0].open_time) == ("1h", TEN)
    repair.ask(healthy.stage.log, [day])
    assert list(Dirty.objects.values_list("interval", "open_time")) == [("1h", TEN)]
    assert healthy.settle().day().differences == ()


def test_a_certified_candle_whose_kline_says_something_else_is_found_and_judged_again(healthy, tamper) -> None:
    tamper(f"ALTER TABLE klines UPDATE high = high + 1 WHERE interval = '1m' AND open_time = {at(TEN)}")

    day = healthy.day()

    assert told(day) == [("verdicts", "rebuild")]
    repair.ask(healthy.stage.log, [day])
    after = healthy.settle().day()
    assert (after.differences, after.disputed, after.certified) == ((), 1, 119)
    assert [(one.interval, one.open_time, list(one.fields)) for one in after.disputes] == [("1m", TEN, ["high"])]


def test_a_certified_candle_without_any_kline_is_found(healthy, tamper) -> None:
    tamper(f"ALTER TABLE klines DELETE WHERE interval = '1m' AND open_time = {at(TEN)}")

    assert told(healthy.day()) == [("verdicts", "rebuild")]


def test_a_candle_that_differs_from_its_kline_unseen_is_found(pipeline, tamper) -> None:
    """Nobody judged it: the kline came into the table behind everybody's back."""
    pipeline.take([WANT, *TRADES, *minute_klines()[-2:]]).settle()
    [kline] = minute_klines()[3:4]
    put(pipeline.stage.log, kline)
    pipeline.settle()
    assert pipeline.day().uncertified == 1
    tamper(f"ALTER TABLE klines UPDATE trades = trades + 1 WHERE open_time = {at(kline.open_time)}")

    day = pipeline.day()

    assert told(day) == [("klines", "rebuild")]
    repair.ask(pipeline.stage.log, [day])
    assert pipeline.settle().day().differences == ()


def test_the_exchanges_larger_candles_are_an_independent_check_of_the_minutes(healthy) -> None:
    quarter, hour = larger_klines(Interval.M15)[1], larger_klines(Interval.H1)[0]
    for kline in (*larger_klines(Interval.M15), *larger_klines(Interval.H1)):
        healthy.stage.log.append(f"prices-{kline.interval}", [codec.to_record(kline)])
    healthy.settle()
    assert (healthy.day().differences, healthy.day().disputes) == ((), ())

    for kline in (quarter, hour):
        other = type(kline)(**{**{name: getattr(kline, name) for name in kline.__struct_fields__}, "trades": 1})
        healthy.stage.log.append(f"prices-{kline.interval}", [codec.to_record(other)])
    day = healthy.settle().day()

    assert day.differences == ()
    assert {one.interval for one in day.reports} <= {"15m", "1h"}
    assert [(one.interval, one.open_time) for one in day.disputes] == [("15m", TEN + 15 * MINUTE), ("1h", TEN)]


def test_gaps_and_holes_are_accounted_for_and_no_difference(pipeline) -> None:
    hole, gap = range(30, 34), range(90, 91)
    kept = [one for place, one in enumerate(TRADES) if place not in hole and place not in gap]
    pipeline.take([WANT, *in_time(kept, minute_klines()), Hole(BTC, FIRST + 30, FIRST + 33, "rest", TEN)]).settle()

    day = pipeline.day()

    assert day.differences == ()
    assert (day.missing, day.holes, day.ids[0].held) == (1, 4, len(kept))
    assert day.ids[0].agrees


def test_what_the_sink_has_not_stored_yet_waits_and_is_no_difference(healthy) -> None:
    late = [
        type(one)(**{**{name: getattr(one, name) for name in one.__struct_fields__}, **changes})
        for number, one in enumerate(TRADES[:3])
        for changes in [
            {
                "trade_id": LAST + 1 + number,
                "first_id": LAST + 1 + number,
                "last_id": LAST + 1 + number,
                "trade_time": TEN + 2 * HOUR + number * MINUTE,
                "price": 100 * SCALE,
            }
        ]
    ]
    healthy.take(late)

    day = healthy.day()

    assert day.differences == ()
    assert (day.until, day.waiting) == (TEN + 2 * HOUR + 2 * MINUTE, 2)
    assert day.ids[0].agrees
    assert day.ids[0].waiting == 2
    assert healthy.settle().day().waiting == 0


def test_a_bucket_that_waits_for_a_rebuild_is_no_difference(healthy, tamper) -> None:
    tamper(f"ALTER TABLE candles UPDATE volume = volume + 1 WHERE {WHERE}")
    Dirty.objects.create(symbol=BTC, interval="1m", open_time=TEN + 5 * MINUTE, gen=1)

    day = healthy.day()

    assert [one.check for one in day.differences if one.open_time == TEN + 5 * MINUTE] == []
    assert day.waiting == 1


def test_an_id_that_is_stored_although_it_is_said_to_be_missing_is_told(pipeline, tamper) -> None:
    kept = [one for place, one in enumerate(TRADES) if place != 9]
    pipeline.take([WANT, *kept]).settle()
    columns = [name for name in trade_columns() if name != "trade_id"]
    names = ", ".join(["trade_id", *columns])
    tamper(
        f"INSERT INTO trades_enriched ({names}) SELECT {FIRST + 9}, {', '.join(columns)} FROM trades_enriched "
        f"WHERE trade_id = {FIRST + 8}"
    )

    day = pipeline.day()

    [difference] = [one for one in day.differences if one.check is Check.IDS]
    assert (difference.from_id, difference.to_id, difference.remedy) == (FIRST + 9, FIRST + 9, Remedy.NONE)


def trade_columns() -> list[str]:
    """The columns of the table that are stored."""
    rows = client().query(
        "SELECT name FROM system.columns WHERE table = 'trades_enriched' AND database = currentDatabase() "
        "AND default_kind != 'ALIAS'"
    )
    return [row[0] for row in rows.result_rows]


def test_where_the_exchange_differs_from_itself_is_told_and_no_difference(healthy) -> None:
    client().command("SYSTEM STOP MERGES klines")
    [kline] = minute_klines()[3:4]
    short = type(kline)(
        **{
            **{name: getattr(kline, name) for name in kline.__struct_fields__},
            "trades": 1,
            "source": "archive",
            "recheck": True,
        }
    )
    put(healthy.stage.log, short)

    day = healthy.settle().day()
    client().command("SYSTEM START MERGES klines")

    assert day.differences == ()
    assert day.certified == 120
    assert [(one.interval, one.open_time, one.sources) for one in day.reports] == [
        ("1m", kline.open_time, ["archive", "binance"])
    ]
