import pytest

from analytics.tests.samples import BTC, TEN, enriched, live, segment, trade
from markets.types import SCALE

pytestmark = pytest.mark.django_db


@pytest.fixture
def traded(stage):
    """Ten trades of ten o'clock, a second apart; the last five are not stored yet. The id 4 was taken back."""
    made = [enriched(trade(n, TEN + n * 1000, 100 * SCALE + n)) for n in range(10)]
    taken_back = trade(4, TEN + 4000, 0, 0, first_id=-1, last_id=-1)
    made[4] = enriched(taken_back)
    last = {"last_trade_id": 9, "last_trade_time": TEN + 9000, "last_price": 100 * SCALE + 9}
    stage.tell(segment(0, TEN), live(TEN + 9002, TEN, **last), *made[:5]).sink()
    return stage.tell(*made[5:])


def ids(answer):
    return [row["trade_id"] for row in answer.json()["trades"]]


def test_a_trade_has_exactly_the_fields_of_the_contract(get, traded):
    body = get("/trades", symbol="btcusdt", from_id=3, limit=1).json()

    assert list(body) == ["symbol", "trades", "coverage", "next", "cursor"]
    assert body["trades"] == [
        {
            "trade_id": 3,
            "price": "100.00000003",
            "qty": "1.00000000",
            "notional": "100.00000003",
            "side": "buy",
            "is_buyer_maker": False,
            "trade_time": TEN + 3000,
            "event_time": TEN + 3002,
            "ingest_ts": TEN + 3005,
            "latency_ms": 3,
            "first_id": 3,
            "last_id": 3,
            "session": "europe",
            "source": "binance",
        }
    ]


def test_stored_and_new_trades_come_once_and_in_order_without_those_taken_back(get, traded):
    assert ids(get("/trades", symbol=BTC)) == [0, 1, 2, 3, 5, 6, 7, 8, 9]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"limit": 3}, [7, 8, 9]),
        ({"to": TEN + 3000}, [0, 1, 2]),
        ({"to": TEN + 6000, "limit": 2}, [3, 5]),
        ({"from_": TEN + 8000}, [8, 9]),
        ({"from_": TEN + 2000, "to": TEN + 6000}, [2, 3, 5]),
        ({"from_id": 7}, [7, 8, 9]),
        ({"from_id": 2, "to": TEN + 4000}, [2, 3]),
    ],
)
def test_trades_are_chosen_by_time_and_id(get, traded, query, expected):
    assert ids(get("/trades", symbol=BTC, **query)) == expected


def test_pages_of_trades_walk_over_everything_once(get, traded):
    first = get("/trades", symbol=BTC, from_=TEN, limit=4)
    second = get("/trades", symbol=BTC, cursor=first.json()["next"], limit=4)
    third = get("/trades", symbol=BTC, cursor=second.json()["next"], limit=4)

    assert [ids(page) for page in (first, second, third)] == [[0, 1, 2, 3], [5, 6, 7, 8], [9]]
    assert third.json()["next"] is None
    assert 'rel="next"' in second.headers["Link"]


def test_a_polling_reader_gets_only_what_is_new(get, traded):
    cursor = get("/trades", symbol=BTC).json()["cursor"]
    before = ids(get("/trades", symbol=BTC, cursor=cursor))
    traded.tell(enriched(trade(10, TEN + 10_000)))

    assert before == []
    assert ids(get("/trades", symbol=BTC, cursor=cursor)) == [10]


def test_held_ids_count_those_taken_back(get, traded):
    block = get("/trades", symbol=BTC, from_=TEN + 3500, to=TEN + 6500).json()["coverage"]

    assert (block["held"], block["complete"]) == (3, True)


def test_trades_that_came_by_rest_have_no_event_time(get, stage):
    made = enriched(trade(1, TEN, 3 * SCALE // 10**6, 7 * SCALE // 10**6, source="rest", event_time=None))
    stage.tell(made).sink()

    row = get("/trades", symbol=BTC, from_id=0).json()["trades"][0]

    assert (row["event_time"], row["latency_ms"], row["source"]) == (None, None, "rest")
    assert row["notional"] == "0.000000000021"


def test_an_empty_page_s_cursor_goes_on_after_what_was_before_its_range(get, traded):
    cursor = get("/trades", symbol=BTC, from_=TEN + 3500, to=TEN + 3600).json()["cursor"]

    assert ids(get("/trades", symbol=BTC, cursor=cursor, limit=2)) == [5, 6]
