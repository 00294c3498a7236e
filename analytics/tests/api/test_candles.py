import pytest

from analytics.tests.samples import BTC, MINUTE, TEN, candle, closed, kline_of, live, segment, span
from ingestion.pipeline.records import CoverageKind
from markets.types import SCALE

pytestmark = pytest.mark.django_db

FIELDS = [
    "open_time", "close_time", "open", "high", "low", "close", "volume", "quote_volume", "trades",
    "taker_buy_volume", "taker_buy_quote_volume", "vwap", "volatility", "first_trade_id", "last_trade_id",
    "first_fill_id", "last_fill_id", "agg_trades", "missing", "revision", "state", "quote_rounding", "known_at",
]  # fmt: skip


def minute(place, **other):
    return closed(candle(TEN + place * MINUTE, (place * 10, place * 10 + 9), 100 * SCALE), **other)


@pytest.fixture
def ten(stage):
    """Ten closed minutes from ten o'clock, and a running one."""
    end = TEN + 10 * MINUTE
    running = candle(end, (100, 102), 103 * SCALE)
    newest = live(end + 30_000, end, candle=running, last_trade_id=102, last_trade_time=end + 29_000)
    return stage.tell(segment(0, TEN), newest, *[minute(place, state="certified") for place in range(10)])


def times(answer):
    return [(row["open_time"] - TEN) // MINUTE for row in answer.json()["candles"]]


def test_a_candle_has_exactly_the_fields_of_the_contract(get, ten):
    answer = get("/candles", symbol="btcusdt", interval="1m", limit=1)

    body = answer.json()
    assert answer.headers["Content-Type"] == "application/json"
    assert list(body) == ["symbol", "interval", "candles", "coverage", "next", "cursor"]
    assert (body["symbol"], body["interval"]) == (BTC, "1m")
    row = body["candles"][0]
    assert list(row) == FIELDS
    assert row["open"] == "100.00000000"
    assert row["vwap"] == "100.00000000"
    assert row["volatility"] == 0.0
    assert (row["state"], row["missing"], row["revision"]) == ("certified", 0, 10)
    assert row["close_time"] == row["open_time"] + MINUTE - 1


def test_closed_candles_alone_come_unless_all_are_asked_for(get, ten):
    assert times(get("/candles", symbol=BTC, interval="1m")) == list(range(10))
    everything = get("/candles", symbol=BTC, interval="1m", state="all").json()["candles"]
    assert [row["state"] for row in everything[-2:]] == ["certified", "forming"]


def test_the_coverage_block_speaks_of_the_range(get, ten):
    asked = {"symbol": BTC, "interval": "1m", "from_": TEN, "to": TEN + 3 * MINUTE}

    block = get("/candles", **asked).json()["coverage"]

    stale_s = block.pop("stale_s")
    assert block == {
        "complete": True,
        "from": TEN,
        "to": TEN + 3 * MINUTE,
        "held": 30,
        "missing": 0,
        "holes": 0,
        "gaps": [],
        "feed_time": TEN + 10 * MINUTE + 30_000,
    }
    assert 0 <= stale_s < 60


def test_the_coverage_block_tells_gaps_and_holes(get, ten):
    gap = span(CoverageKind.GAP_OPENED, (23, 24), (TEN + 2 * MINUTE, TEN + 2 * MINUTE + 5))
    hole = span(CoverageKind.HOLE, (31, 31), (TEN + 3 * MINUTE, TEN + 3 * MINUTE + 5), cause="gone")
    ten.tell(gap, hole)

    block = get("/candles", symbol=BTC, interval="1m", from_=TEN, to=TEN + 5 * MINUTE).json()["coverage"]

    assert (block["complete"], block["held"], block["missing"], block["holes"]) == (False, 47, 3, 1)
    assert [(g["from_id"], g["to_id"], g["count"], g["state"]) for g in block["gaps"]] == [
        (23, 24, 2, "open"),
        (31, 31, 1, "hole"),
    ]


@pytest.mark.parametrize("start", [TEN, "2019-06-01T10:00:00Z", "2019-06-01T10:00", "2019-06-01T12:00:00+02:00"])
def test_times_are_milliseconds_or_iso(get, ten, start):
    assert times(get("/candles", symbol=BTC, interval="1m", from_=start, limit=2)) == [0, 1]


def test_pages_link_to_each_other_and_keep_the_place_in_the_log(get, ten):
    first = get("/candles", symbol=BTC, interval="1m", from_=TEN, limit=4)
    cursor = first.json()["next"]
    ten.tell(minute(2, state="closed", reason="late"))
    second = get("/candles", symbol=BTC, interval="1m", cursor=cursor, limit=4)
    third = get("/candles", symbol=BTC, interval="1m", cursor=second.json()["next"], limit=4)

    assert [times(page) for page in (first, second, third)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert first.headers["Link"] == (
        f'<http://testserver/candles?symbol=BTCUSDT&interval=1m&from={TEN}&limit=4&cursor={cursor}>; rel="next"'
    )
    assert third.json()["next"] is None
    assert "Link" not in third.headers
    from analytics.reading.cursor import decode

    seqs = [decode(p.json()["cursor"], symbol=BTC, channel="candles", interval="1m").seq for p in (first, third)]
    assert seqs[0] == seqs[1]


def test_a_cursor_of_another_interval_is_refused(get, ten):
    cursor = get("/candles", symbol=BTC, interval="1m").json()["cursor"]

    answer = get("/candles", symbol=BTC, interval="5m", cursor=cursor)

    assert (answer.status_code, answer.json()["code"]) == (400, "bad_cursor")


def test_a_closed_range_has_a_tag_that_spares_a_second_answer(get, ten):
    asked = {"symbol": BTC, "interval": "1m", "from_": TEN, "to": TEN + 3 * MINUTE}

    first = get("/candles", **asked)
    again = get("/candles", headers={"If-None-Match": first.headers["ETag"]}, **asked)
    ten.tell(closed(candle(TEN, (0, 10)), reason="late"))
    changed = get("/candles", headers={"If-None-Match": first.headers["ETag"]}, **asked)

    assert first.headers["Cache-Control"] == "public, max-age=3600"
    assert (again.status_code, again.content) == (304, b"")
    assert changed.status_code == 200
    assert changed.headers["ETag"] != first.headers["ETag"]
    assert changed.headers["Cache-Control"] == "no-cache"


def test_a_range_that_is_still_running_has_no_tag(get, ten):
    answer = get("/candles", symbol=BTC, interval="1m", from_=TEN)

    assert "ETag" not in answer.headers
    assert answer.headers["Cache-Control"] == "no-cache"


def test_the_exchanges_own_klines_are_served_on_request(get, ten):
    odd = kline_of(candle(TEN, (0, 9), 100 * SCALE), close_time=TEN + 59_000)
    ten.tell(odd).sink()

    ours = get("/candles", symbol=BTC, interval="1m", from_=TEN, limit=1).json()["candles"][0]
    theirs = get("/candles", symbol=BTC, interval="1m", source="exchange").json()["candles"]

    assert ours["close_time"] == TEN + 59_000
    assert [row["state"] for row in theirs] == ["exchange"]
    assert theirs[0]["close_time"] == TEN + 59_000
    assert {name for name, value in theirs[0].items() if value is None} == {
        "first_trade_id", "last_trade_id", "first_fill_id", "last_fill_id", "agg_trades", "missing", "revision",
        "quote_rounding", "known_at",
    }  # fmt: skip
    same = FIELDS[2:13]
    assert [theirs[0][name] for name in same] == [ours[name] for name in same]


def test_klines_of_a_symbol_whose_trades_are_not_watched_are_served_too(get, ten):
    told = [kline_of(candle(TEN + place * MINUTE, (0, 9), 100 * SCALE), symbol="ADAUSDT") for place in range(3)]
    ten.tell(*told).sink()

    newest = get("/candles", symbol="ADAUSDT", interval="1m", source="exchange", limit=2).json()
    rest = get("/candles", symbol="ADAUSDT", interval="1m", source="exchange", from_=TEN + MINUTE).json()

    assert [row["open_time"] for row in newest["candles"]] == [TEN + MINUTE, TEN + 2 * MINUTE]
    assert [row["open_time"] for row in rest["candles"]] == [TEN + MINUTE, TEN + 2 * MINUTE]
    assert newest["coverage"]["feed_time"] is None


def test_a_known_symbol_without_data_has_an_empty_answer(get, ten):
    answer = get("/candles", symbol="ADAUSDT", interval="1m")

    body = answer.json()
    assert answer.status_code == 200
    assert (body["candles"], body["next"], body["coverage"]["complete"]) == ([], None, False)
    assert body["coverage"]["feed_time"] is None
