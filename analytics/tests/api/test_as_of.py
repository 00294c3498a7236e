"""``as_of`` on /candles, and the history of a candle."""

import pytest

from analytics.tests.samples import BTC, HOUR, MINUTE, TEN, candle, closed, live, segment, span
from ingestion.pipeline.records import CoverageKind
from markets.types import SCALE

pytestmark = pytest.mark.django_db

END = TEN + 3 * HOUR
LATE = TEN + HOUR + 300


def corrected(**other):
    """The second minute, with a trade that came an hour later."""
    return closed(candle(TEN + MINUTE, (10, 19), 100 * SCALE), reason="late", known_at=LATE, **other)


@pytest.fixture
def market(stage):
    """An hour of minutes; in the second one six ids were missing, and came an hour later."""
    first = [closed(candle(TEN + at * MINUTE, (at * 10, at * 10 + 9)), state="certified") for at in range(60)]
    first[1] = closed(candle(TEN + MINUTE, (10, 13)), missing=6)
    gap = span(CoverageKind.GAP_OPENED, (14, 19), (TEN + MINUTE + 3, TEN + 2 * MINUTE))
    filled = span(CoverageKind.GAP_CLOSED, (14, 19), (TEN + MINUTE + 3, LATE))
    verdict = corrected(state="certified", missing=0)
    verdict = type(verdict)(verdict.candle, "certified", "verdict", LATE + 20, 0)
    now = live(END, TEN + HOUR, last_trade_id=599, last_trade_time=TEN + HOUR - 1)
    return stage.tell(segment(0, TEN), *first[:2], gap, *first[2:]).sink().tell(corrected(), filled, verdict, now)


def minute(answer):
    (row,) = (row for row in answer.json()["candles"] if row["open_time"] == TEN + MINUTE)
    return row["revision"], row["state"], row["missing"]


def test_what_was_known_then_is_answered_with_the_coverage_of_then(get, market):
    asked = {"symbol": BTC, "interval": "1m", "from_": TEN, "to": TEN + HOUR}

    before = get("/candles", as_of=LATE - 1, **asked)
    corrected = get("/candles", as_of=LATE, **asked)
    after = get("/candles", as_of=LATE + 20, **asked)

    assert minute(before) == (4, "closed", 6)
    assert minute(corrected)[:2] == (10, "closed")
    assert minute(after) == (10, "certified", 0)
    blocks = [answer.json()["coverage"] for answer in (before, after)]
    assert [(block["complete"], block["missing"], block["stale_s"]) for block in blocks] == [
        (False, 6, None),
        (True, 0, None),
    ]
    assert [block["held"] for block in blocks] == [594, 600]
    assert before.json()["as_of"] == LATE - 1


def test_an_hour_of_then_is_merged_from_the_minutes_of_then(get, market):
    hours = [
        get("/candles", symbol=BTC, interval="1h", from_=TEN, as_of=at).json()["candles"][0]
        for at in (TEN + HOUR + 150, LATE + 20)
    ]

    assert [(row["trades"], row["state"], row["missing"]) for row in hours] == [
        (594, "closed", 6),
        (600, "certified", 0),
    ]


def test_now_or_later_is_the_answer_without_as_of_and_says_what_now_is(get, market):
    asked = {"symbol": BTC, "interval": "1m", "from_": TEN, "to": TEN + HOUR}

    plain, later = get("/candles", **asked).json(), get("/candles", as_of=END + HOUR, **asked).json()

    assert later.pop("as_of") == END
    assert later.pop("cursor") != plain.pop("cursor")
    for body in (plain, later):
        body["coverage"].pop("stale_s")
    assert later == plain


def test_before_everything_there_is_nothing_and_nothing_is_claimed(get, market):
    body = get("/candles", symbol=BTC, interval="1m", from_=TEN, as_of=TEN - 1).json()

    assert (body["candles"], body["next"]) == ([], None)
    assert (body["coverage"]["complete"], body["coverage"]["held"], body["coverage"]["feed_time"]) == (False, 0, None)


def test_pages_speak_of_the_time_of_the_first_one(get, market):
    asked = {"symbol": BTC, "interval": "1m", "limit": 40, "as_of": END + HOUR}
    first = get("/candles", from_=TEN, **asked).json()
    market.tell(
        closed(candle(TEN + 50 * MINUTE, (500, 510)), reason="late", known_at=END + 50),
        live(END + 100, TEN + HOUR, last_trade_id=599),
    )

    second = get("/candles", cursor=first["next"], **asked).json()
    fresh = get("/candles", symbol=BTC, interval="1m", limit=40, cursor=first["next"]).json()

    assert (first["as_of"], second["as_of"]) == (END, END)
    assert [(page["candles"][10]["revision"]) for page in (second, fresh)] == [10, 11]
    assert "as_of" not in fresh


def test_a_cursor_of_a_later_time_is_refused(get, market):
    cursor = get("/candles", symbol=BTC, interval="1m", as_of=LATE).json()["cursor"]

    answer = get("/candles", symbol=BTC, interval="1m", cursor=cursor, as_of=LATE - 1)

    assert (answer.status_code, answer.json()["code"], answer.json()["allowed"]) == (400, "bad_cursor", f"as_of={LATE}")


def test_the_past_may_be_kept_without_asking_again_once_nothing_more_can_be_said_of_it(get, market):
    asked = {"symbol": BTC, "interval": "1m", "from_": TEN}
    old, lately = get("/candles", as_of=LATE, **asked), get("/candles", as_of=END - 1, **asked)

    again = get("/candles", as_of=LATE, headers={"If-None-Match": old.headers["ETag"]}, **asked)

    assert old.headers["Cache-Control"] == "public, max-age=3600, immutable"
    assert "ETag" in lately.headers
    assert "immutable" not in lately.headers["Cache-Control"]
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("other", [{"state": "all"}, {"source": "exchange"}])
def test_what_has_no_history_is_refused_with_the_reason(get, market, other):
    answer = get("/candles", symbol=BTC, interval="1m", as_of=LATE, **other)

    assert (answer.status_code, answer.json()["param"]) == (400, "as_of")


def history(get, **asked):
    return get("/candles/revisions", **({"symbol": "btcusdt", "open_time": TEN + MINUTE} | asked))


def test_the_history_of_a_candle_names_each_version_with_its_time_and_reason(get, market):
    body = history(get).json()

    assert [
        (row["known_at"], row["reason"], row["revision"], row["state"], row["missing"]) for row in body["revisions"]
    ] == [
        (TEN + 2 * MINUTE + 100, "closed", 4, "closed", 6),
        (LATE, "late", 10, "closed", None),
        (LATE + 20, "verdict", 10, "certified", 0),
    ]
    assert (body["symbol"], body["interval"], body["open_time"]) == (BTC, "1m", TEN + MINUTE)
    assert (body["coverage"]["complete"], body["coverage"]["from"]) == (True, TEN + MINUTE)


def test_the_history_is_the_same_wherever_the_sink_is_and_comes_in_pages(get, market):
    before = history(get).json()["revisions"]
    market.sink()

    first = history(get, limit=2).json()
    second = history(get, limit=2, cursor=first["next"]).json()

    assert first["revisions"] + second["revisions"] == before
    assert second["next"] is None


def test_a_dispute_shows_its_difference_in_the_history(get, market):
    difference = {"volume": ["10.00000000", "11.00000000"]}
    market.tell(corrected(state="disputed", difference=difference)).sink()

    assert history(get).json()["revisions"][-1]["difference"] == difference


@pytest.mark.parametrize("asked", [{"open_time": TEN + 1}, {"interval": "1h"}, {"open_time": "soon"}])
def test_only_minutes_have_a_history(get, market, asked):
    answer = history(get, **asked)

    assert answer.status_code == 400
    assert answer.json()["param"] == next(iter(asked))
