"""Real recorded days: what the API answers equals the exchange's own candles in every field."""

import csv
import datetime as dt
import gzip

import pytest
from django.conf import settings

from analytics.tests.samples import closed, enriched, live, segment
from ingestion.pipeline.records import Candle, Trade
from ingestion.pipeline.window import empty_candle, fold
from markets.models import Symbol
from markets.types import DAY_MS, HOUR_MS, MINUTE_MS, Interval, to_scaled

pytestmark = pytest.mark.django_db

DATA = settings.BASE_DIR.parent / "shared/data/binance"
needs_data = pytest.mark.skipif(not DATA.exists(), reason="the recorded market data is not here")

DAY = int(dt.datetime(2019, 5, 25, tzinfo=dt.UTC).timestamp() * 1000)
ADA = "ADAUSDT"
# Our names for the columns after the open time, in the exchange's order.
COLUMNS = (
    "open",
    "high",
    "low",
    "close",
    "volume",
    "close_time",
    "quote_volume",
    "trades",
    "taker_buy_volume",
    "taker_buy_quote_volume",
)


def recorded_fills():
    """The fills of the day as trades, in the order of the file (which is not that of their ids)."""
    with gzip.open(DATA / "trades/2019-05-25-ADAUSDT.csv.gz", "rt") as file:
        for row in csv.DictReader(file):
            fill = int(row["trade_id"])
            time = int(row["trade_time"])
            maker = row["buyer_market_maker"].lower() in ("true", "t", "1")
            price, qty = to_scaled(row["price"]), to_scaled(row["quantity"])
            yield Trade(ADA, fill, price, qty, fill, fill, time, maker, "simulated", time, int(row["event_time"]))


def exchange_rows(name):
    with (DATA / "klines" / name).open() as file:
        for _, *values, _ in list(csv.reader(file))[1:]:
            named = dict(zip(COLUMNS, values, strict=True))
            yield named | {"close_time": int(named["close_time"]), "trades": int(named["trades"])}


def minutes_of(trades):
    """Every minute of the day: the folded ones, and the empty ones between them."""
    folded = {made.open_time: made for made in fold(trades, Interval.M1)}
    for place in range(DAY_MS // MINUTE_MS):
        open_time = DAY + place * MINUTE_MS
        yield closed(folded.get(open_time) or empty_candle(ADA, Interval.M1, open_time, 0))


@pytest.fixture
def day(stage):
    """The recorded day: most of it stored, its last hours still in the log alone."""
    trades = list(recorded_fills())
    first, last = min(t.trade_id for t in trades), max(t.trade_id for t in trades)
    end = DAY + DAY_MS
    minutes = list(minutes_of(trades))
    now = live(end + 1, end, symbol=ADA, last_trade_id=last, last_trade_time=max(t.trade_time for t in trades))
    stage.tell(segment(first, DAY, symbol=ADA), now)
    stage.tell(*minutes[:1300], *map(enriched, trades[::40])).sink().tell(*minutes[1300:])
    return stage


STATIC = "static-klines"
FILES = {"1h": "kidogb", "2h": STATIC, "4h": STATIC, "6h": STATIC, "8h": STATIC, "12h": STATIC, "1d": "kidogb"}


@needs_data
@pytest.mark.parametrize(("interval", "file"), FILES.items())
def test_the_recorded_day_equals_the_exchanges_candles_in_every_field(get, day, interval, file):
    Symbol.objects.filter(symbol=ADA).update(trades_enabled=True)
    name = f"ADAUSDT-{interval}_2019-05-25_and_2019-06-01.{file}.csv"
    expected = [row for row in exchange_rows(name) if DAY <= row["close_time"] < DAY + DAY_MS]

    body = get("/candles", symbol=ADA, interval=interval, from_=DAY, to=DAY + DAY_MS).json()

    assert len(expected) == DAY_MS // (Interval(interval).width_ms or 1)
    assert [{name: row[name] for name in COLUMNS} for row in body["candles"]] == expected
    assert {row["state"] for row in body["candles"]} == {"closed"}
    assert body["coverage"]["complete"] is True
    assert body["coverage"]["held"] == 21781


@needs_data
def test_the_sum_of_the_recorded_day_is_the_exchanges(get, day):
    expected = next(iter(exchange_rows("ADAUSDT-1d_2019-05-25_and_2019-06-01.kidogb.csv")))

    body = get("/stats/volume", symbol=ADA, window="24h").json()

    names = ("volume", "quote_volume", "trades", "taker_buy_volume", "taker_buy_quote_volume")
    assert {name: body[name] for name in names} == {name: expected[name] for name in names}
    assert (body["from"], body["to"]) == (DAY, DAY + DAY_MS)


def static_klines(name):
    """Rows as REST gives them: the twelve columns in order."""
    with gzip.open(DATA / "klines" / name, "rt") as file:
        yield from (row for row in csv.reader(file) if row[0].isdigit())


@needs_data
def test_quarters_of_a_month_merged_in_sql_equal_the_exchanges_hours(get, stage):
    made = [_minute_of(row) for row in static_klines("BTCUSDT-15m_2025-01.static-klines.csv.gz")]
    start, end = made[0].open_time, made[-1].open_time + 15 * MINUTE_MS
    stage.tell(segment(0, start), live(end + 1, end), *map(closed, made[:2000])).sink()
    stage.tell(*map(closed, made[2000:]))

    rows = get("/candles", symbol="BTCUSDT", interval="1h", from_=start, limit=5000).json()["candles"]

    expected = {int(row[0]): row for row in static_klines("BTCUSDT-1h_2025H1.static-klines.csv.gz")}
    assert len(rows) == (end - start) // HOUR_MS
    names = ("open", "high", "low", "close", "volume", "quote_volume", "taker_buy_volume", "taker_buy_quote_volume")
    for row in rows:
        theirs = expected[row["open_time"]]
        values = [theirs[place] for place in (1, 2, 3, 4, 5, 7, 9, 10)]
        assert [to_scaled(row[name]) for name in names] == [to_scaled(value) for value in values]
        assert row["trades"] == int(theirs[8])


def _minute_of(row):
    """A quarter of an hour stood in for by its first minute, with ids made of its place."""
    open_time = int(row[0])
    place = open_time // MINUTE_MS
    amounts = [to_scaled(row[n]) for n in (1, 2, 3, 4, 5, 7)]
    takers = [to_scaled(row[n]) for n in (9, 10)]
    return Candle("BTCUSDT", "1m", open_time, *amounts, int(row[8]), *takers, place, place, place, place, 1)
