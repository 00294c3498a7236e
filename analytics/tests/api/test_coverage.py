import pytest

from analytics.tests.samples import BTC, MINUTE, TEN, candle, closed, enriched, live, segment, span, trade
from ingestion.log import codec
from ingestion.log.topics import COVERAGE
from ingestion.pipeline.coverage import MOST_REPAIRED
from ingestion.pipeline.records import CoverageKind

pytestmark = pytest.mark.django_db

OPENED, CLOSED, HOLE = CoverageKind.GAP_OPENED, CoverageKind.GAP_CLOSED, CoverageKind.HOLE


@pytest.fixture
def lossy(stage):
    """Ids 0 to 99 a second apart; 10 to 19 were lost and repaired, 30 to 34 are lost, 50 is a hole."""
    held = [n for n in range(100) if not 30 <= n <= 34 and n != 50]
    stage.tell(*[enriched(trade(n, TEN + n * 1000)) for n in held])
    return stage.tell(
        segment(0, TEN),
        span(OPENED, (10, 19), (TEN + 9000, TEN + 20_000)),
        span(OPENED, (30, 34), (TEN + 29_000, TEN + 35_000)),
        span(CLOSED, (10, 19), (TEN + 9000, TEN + 20_000)),
        span(OPENED, (50, 50), (TEN + 49_000, TEN + 51_000)),
        span(HOLE, (50, 50), (TEN + 49_000, TEN + 51_000), cause="exchange"),
        live(TEN + 100_000, TEN + MINUTE, last_trade_id=99, last_trade_time=TEN + 99_000),
    )


def test_all_that_is_held_and_missing_is_told(get, lossy):
    body = get("/coverage", symbol=BTC).json()

    assert {name: body[name] for name in ("first_trade_id", "last_trade_id", "first_time", "last_time")} == {
        "first_trade_id": 0,
        "last_trade_id": 99,
        "first_time": TEN,
        "last_time": TEN + 99_000,
    }
    assert (body["held"], body["missing"], body["holes"], body["complete"]) == (94, 6, 1, False)
    assert body["segments"] == [{"from_id": 0, "to_id": 99, "from_time": TEN, "to_time": TEN + 100_000}]
    assert [(gap["from_id"], gap["to_id"], gap["state"]) for gap in body["gaps"]] == [
        (30, 34, "open"),
        (50, 50, "hole"),
    ]
    assert body["gaps"][1] == {
        "from_id": 50,
        "to_id": 50,
        "count": 1,
        "from_time": TEN + 49_000,
        "to_time": TEN + 51_000,
        "opened_at": TEN + 51_000,
        "closed_at": None,
        "asked_at": TEN + 51_000,
        "state": "hole",
        "proved": False,
        "cause": "exchange",
    }
    assert (body["halts"], body["feed_time"], body["next"]) == ([], TEN + 100_000, None)


def test_repaired_gaps_are_listed_on_request(get, lossy):
    gaps = get("/coverage", symbol=BTC, include="repaired").json()["gaps"]

    assert [(gap["from_id"], gap["state"]) for gap in gaps] == [(10, "repaired"), (30, "open"), (50, "hole")]
    assert gaps[0]["closed_at"] == TEN + 20_000


@pytest.mark.parametrize(
    ("start", "end", "held", "missing", "complete"),
    [
        (0, 29_000, 29, 0, True),
        (20_000, 40_000, 15, 5, False),
        (60_000, 70_000, 10, 0, True),
        (-5000, 10_000, 10, 0, False),
    ],
)
def test_a_range_has_its_own_figures(get, lossy, start, end, held, missing, complete):
    body = get("/coverage", symbol=BTC, from_=TEN + start, to=TEN + end).json()

    assert (body["held"], body["missing"], body["complete"]) == (held, missing, complete)


def test_many_gaps_come_in_pages(get, lossy):
    first = get("/coverage", symbol=BTC, limit=1).json()
    second = get("/coverage", symbol=BTC, limit=1, cursor=first["next"]).json()

    assert [gap["from_id"] for gap in (*first["gaps"], *second["gaps"])] == [30, 50]
    assert second["next"] is None


def test_the_coverage_outlives_the_log_s_retention(get, lossy):
    from analytics.reading.sources import coverage_before
    from analytics.reading.tail import LogTail

    lossy.sink()

    class Aged:
        """The log after retention took every change of coverage."""

        def __getattr__(self, name):
            return getattr(lossy.log, name)

        def start_offset(self, topic, partition):
            return lossy.log.end_offset(topic, partition) if topic == "coverage" else 0

    tail = LogTail(Aged(), lossy.positions, coverage_before)
    tail.catch_up()

    assert tail.view.coverage(BTC) == lossy.view.coverage(BTC)
    tail.stop()


def test_repaired_gaps_that_the_view_let_go_are_listed_from_the_table(get, stage):
    count = MOST_REPAIRED + 30
    events = [segment(0, TEN)]
    for number in range(1, count + 1):
        ids, times = (10 * number, 10 * number + 3), (TEN + number * 1000, TEN + number * 1000 + 900)
        events += [span(OPENED, ids, times), span(CLOSED, ids, times)]
    stage.log.append(COVERAGE.name, [codec.to_record(event) for event in events])
    stage.tell(live(TEN + 10 * MINUTE * 60, TEN, last_trade_id=10**6, last_trade_time=TEN)).sink()
    assert stage.view.coverage(BTC).forgotten == 30

    body = get("/coverage", symbol=BTC, include="repaired", limit=5000).json()

    assert [(gap["from_id"], gap["to_id"]) for gap in body["gaps"]] == [
        (10 * number, 10 * number + 3) for number in range(1, count + 1)
    ]


def test_a_symbol_without_data_has_nothing(get, lossy):
    body = get("/coverage", symbol="ADAUSDT").json()

    assert (body["segments"], body["held"], body["complete"], body["first_trade_id"]) == ([], 0, False, None)


ANSWERS = (
    ("/candles", {"interval": "1m", "from_": TEN, "to": TEN + 10 * MINUTE}),
    ("/candles", {"interval": "1h", "from_": TEN, "to": TEN + 10 * MINUTE}),
    ("/candles", {"interval": "1m", "from_": TEN, "to": TEN + 10 * MINUTE, "source": "exchange"}),
    ("/trades", {"from_": TEN, "to": TEN + 10 * MINUTE}),
    ("/stats/volume", {"window": "10m"}),
    ("/stats/volatility", {"window": "10m"}),
    ("/stats/spikes", {"window": "10m"}),
)


@pytest.mark.parametrize(("path", "asked"), ANSWERS)
def test_every_answer_says_what_is_missing_and_is_complete_again_once_a_hole_is_proved(get, stage, path, asked):
    def block():
        return get(path, symbol=BTC, **asked).json()["coverage"]

    lost, times = (10, 14), (TEN + MINUTE - 1, TEN + 2 * MINUTE)
    stage.tell(
        *(closed(candle(TEN + n * MINUTE, (10 * n + (5 if n == 1 else 0), 10 * n + 9))) for n in range(10)),
        segment(0, TEN),
        span(OPENED, lost, times),
        live(TEN + 10 * MINUTE, TEN + 10 * MINUTE, last_trade_id=99, last_trade_time=TEN + 10 * MINUTE - 1),
    )

    states = []
    for kind in (CoverageKind.GAP_ASKED, HOLE, CoverageKind.HOLE_PROVED):
        found = block()
        states.append((found["complete"], found["missing"], found["holes"], [gap["state"] for gap in found["gaps"]]))
        stage.tell(span(kind, lost, times, cause="repairing" if kind == CoverageKind.GAP_ASKED else "not_served"))
    proved = block()

    assert states == [
        (False, 5, 0, ["open"]),
        (False, 5, 0, ["repairing"]),
        (False, 5, 5, ["hole"]),
    ]
    assert (proved["complete"], proved["missing"], proved["holes"]) == (True, 0, 5)
    assert [(gap["state"], gap["proved"]) for gap in proved["gaps"]] == [("hole", True)]
    listed = get("/symbols", enabled="true").json()["symbols"]
    assert [row["complete"] for row in listed if row["symbol"] == BTC] == [True]
