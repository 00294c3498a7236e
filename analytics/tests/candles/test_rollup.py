import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics.candles import dirty
from analytics.candles.rollup import roll_up_dirty
from analytics.clickhouse.client import client
from analytics.models import Dirty
from analytics.sink import positions, rows
from analytics.sink.marks import Mark, Marks
from analytics.tests.samples import BTC, HOUR, MINUTE, TEN, candle, closed
from ingestion.pipeline.records import Candle
from ingestion.pipeline.window import empty_candle, roll_up
from markets.types import SCALE, Interval

pytestmark = pytest.mark.django_db(transaction=True)

DAY = TEN - 10 * HOUR
_COLUMNS = [name for name in Candle.__struct_fields__ if name != "agg_trades"]


def store(*candles):
    client().insert_arrow("candles", rows.candle_rows([closed(made) for made in candles]))


def mark(interval, *open_times):
    positions.mark_dirty(Marks(Mark(BTC, interval, at) for at in open_times))


def stored(interval):
    amounts = {"open", "high", "low", "close", "quote_rounding"}
    sums = {"volume", "quote_volume", "taker_buy_volume", "taker_buy_quote_volume"}
    columns = [
        f"reinterpret({name}, 'Int64')"
        if name in amounts
        else f"reinterpret({name}, 'Int128')"
        if name in sums
        else "toUnixTimestamp64Milli(open_time)"
        if name == "open_time"
        else name
        for name in _COLUMNS
    ]
    answer = client().query(
        f"SELECT {', '.join(columns)}, toInt64(revision) FROM candles FINAL "
        "WHERE interval = {interval:String} ORDER BY open_time",
        parameters={"interval": interval},
    )
    return [Candle(**dict(zip([*_COLUMNS, "agg_trades"], row, strict=True))) for row in answer.result_rows]


def varied(open_time, first, count, price):
    return candle(
        open_time,
        (first, first + count - 1),
        price=price,
        high=price + count,
        low=max(1, price - count),
        close=price + 1,
        quote_volume=10**27 + price,
        trades=count + 3,
        last_fill_id=first + count + 2,
        quote_rounding=count,
    )


def test_an_hour_is_the_merge_of_its_minutes(clickhouse):
    minutes = [varied(TEN + i * MINUTE, 1 + 10 * i, 3 + i, (100 + i) * SCALE) for i in range(60)]
    store(*minutes, varied(TEN + HOUR, 9_000, 4, SCALE))
    mark("1h", TEN)

    assert roll_up_dirty() == 1

    assert stored("1h") == roll_up(minutes, Interval.H1)
    assert not Dirty.objects.exists()


minute_kinds = st.lists(st.one_of(st.just(0), st.integers(1, 50)), min_size=1, max_size=90)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(counts=minute_kinds, price=st.integers(1, 10**17))
def test_sql_and_pipeline_roll_up_alike(clickhouse, counts, price):
    clickhouse.command("TRUNCATE TABLE candles")
    minutes = [
        varied(TEN + i * MINUTE, 1 + 100 * i, count, price + i)
        if count
        else empty_candle(BTC, Interval.M1, TEN + i * MINUTE, price + i)
        for i, count in enumerate(counts)
    ]
    store(*minutes)
    mark("1h", TEN, TEN + HOUR)
    mark("1d", DAY)

    roll_up_dirty()

    assert stored("1h") == roll_up(minutes, Interval.H1)
    assert stored("1d") == roll_up(minutes, Interval.D1)


def test_only_the_marked_hours_are_merged(clickhouse):
    store(*(candle(TEN + i * HOUR, (i + 1, i + 1)) for i in range(3)))
    mark("1h", TEN, TEN + 2 * HOUR)

    roll_up_dirty()

    assert [made.open_time for made in stored("1h")] == [TEN, TEN + 2 * HOUR]


def test_a_corrected_minute_raises_the_revision_of_its_hour(clickhouse):
    store(candle(TEN, (1, 2)))
    mark("1h", TEN)
    roll_up_dirty()
    store(candle(TEN, (1, 5)))
    mark("1h", TEN)

    roll_up_dirty()

    assert [made.revision for made in stored("1h")] == [5]


def test_a_bucket_that_is_marked_while_it_is_merged_stays_dirty(clickhouse):
    mark("1h", TEN)
    rows_before = list(Dirty.objects.all())
    mark("1h", TEN)

    dirty.done(rows_before)

    assert Dirty.objects.count() == 1
