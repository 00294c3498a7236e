import pytest

from analytics.tests.samples import BTC, TEN, live, segment, span
from ingestion.pipeline.records import CoverageKind
from markets.types import SCALE

pytestmark = pytest.mark.django_db


def test_every_symbol_is_listed_with_what_is_known_of_it(get, stage):
    stage.tell(segment(0, TEN), live(TEN + 5, TEN, last_price=100 * SCALE, last_trade_time=TEN + 4))

    rows = {row["symbol"]: row for row in get("/symbols").json()["symbols"]}

    assert rows[BTC] == {
        "symbol": BTC,
        "base": "BTC",
        "quote": "USDT",
        "status": "TRADING",
        "enabled": True,
        "tick_size": "0.01000000",
        "step_size": "0.00001000",
        "last_price": "100.00000000",
        "last_trade_time": TEN + 4,
        "complete": True,
    }
    assert rows["ADAUSDT"]["last_price"] is None
    assert rows["ADAUSDT"]["complete"] is False


@pytest.mark.parametrize(("enabled", "listed"), [("true", True), ("false", False)])
def test_the_watched_ones_alone_on_request(get, stage, enabled, listed):
    names = [row["symbol"] for row in get("/symbols", enabled=enabled).json()["symbols"]]

    assert (BTC in names) is listed
    assert ("ADAUSDT" in names) is not listed


def test_a_symbol_with_a_gap_is_not_complete(get, stage):
    stage.tell(segment(0, TEN), span(CoverageKind.GAP_OPENED, (1, 2), (TEN, TEN + 9)))

    rows = {row["symbol"]: row for row in get("/symbols").json()["symbols"]}

    assert rows[BTC]["complete"] is False
