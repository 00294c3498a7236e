import math

import pytest

from analytics.tests.samples import BTC, HOUR, MINUTE, TEN, candle, closed, live, segment
from markets.types import SCALE

pytestmark = pytest.mark.django_db

PRICES = [100, 104, 104, 100, 97, 97]


@pytest.fixture
def moved(stage):
    """Six closed minutes and a running one; the clock stands in the seventh."""
    end = TEN + 6 * MINUTE
    running = candle(end, (60, 65), 500 * SCALE)
    made = [
        closed(candle(TEN + n * MINUTE, (n * 10, n * 10 + 9), price * SCALE, open=PRICES[max(n - 1, 0)] * SCALE))
        for n, price in enumerate(PRICES)
    ]
    stage.tell(segment(0, TEN), live(end + 30_000, end, candle=running, last_trade_id=65), *made[:4]).sink()
    return stage.tell(*made[4:])


def test_volume_is_of_the_closed_minutes_of_the_window(get, moved):
    body = get("/stats/volume", symbol=BTC, window="3m").json()

    assert list(body) == [
        "symbol", "window", "from", "to", "volume", "quote_volume", "trades", "taker_buy_volume",
        "taker_buy_quote_volume", "vwap", "coverage",
    ]  # fmt: skip
    assert (body["from"], body["to"], body["window"]) == (TEN + 3 * MINUTE, TEN + 6 * MINUTE, "3m")
    assert (body["volume"], body["quote_volume"], body["trades"]) == ("30.00000000", "2940.00000000", 30)
    assert body["vwap"] == "98.00000000"
    assert (body["coverage"]["complete"], body["coverage"]["held"]) == (True, 30)


@pytest.mark.parametrize(
    ("to", "expected_to"), [(TEN + 2 * MINUTE + 59_999, 2), (TEN + 2 * MINUTE, 2), (TEN + HOUR, 6)]
)
def test_to_is_floored_to_the_minute_and_never_after_the_last_closed_one(get, moved, to, expected_to):
    body = get("/stats/volume", symbol=BTC, window="1m", to=to).json()

    assert body["to"] == TEN + expected_to * MINUTE


def test_a_window_without_trades_has_no_average(get, moved):
    body = get("/stats/volume", symbol=BTC, window="1m", to=TEN - HOUR).json()

    assert (body["volume"], body["trades"], body["vwap"]) == ("0.00000000", 0, None)


def test_volatility_steps_from_the_close_before_the_window(get, moved):
    body = get("/stats/volatility", symbol=BTC, window="3m").json()

    steps = [math.log(100 / 104), math.log(97 / 100), 0.0]
    expected = math.sqrt(sum(step * step for step in steps))
    assert body["volatility"] == pytest.approx(expected, rel=1e-11)
    assert body["annualized_volatility"] == pytest.approx(expected * math.sqrt(365 * 24 * 20), rel=1e-11)


def test_spikes_are_the_jumps_of_the_window_newest_first(get, moved):
    body = get("/stats/spikes", symbol=BTC, threshold="0.03").json()

    assert [(s["open_time"], s["direction"], s["previous_close"], s["close"]) for s in body["spikes"]] == [
        (TEN + 4 * MINUTE, "down", "100.00000000", "97.00000000"),
        (TEN + 3 * MINUTE, "down", "104.00000000", "100.00000000"),
        (TEN + 1 * MINUTE, "up", "100.00000000", "104.00000000"),
    ]
    assert body["spikes"][2]["change"] == pytest.approx(0.04)
    assert list(body["spikes"][0]) == [
        "open_time", "close_time", "previous_close", "close", "change", "direction", "volume", "state",
    ]  # fmt: skip
    assert body["spikes"][0]["state"] == "closed"


def test_a_jump_of_exactly_the_threshold_counts(get, moved):
    found = [len(get("/stats/spikes", symbol=BTC, threshold=t).json()["spikes"]) for t in ("0.04", "0.04000001")]

    assert found == [1, 0]


def test_the_first_candle_of_the_window_is_compared_with_the_one_before(get, moved):
    spikes = get("/stats/spikes", symbol=BTC, window="3m").json()["spikes"]

    assert [(s["open_time"] - TEN) // MINUTE for s in spikes] == [4, 3]


def test_spikes_of_larger_candles(get, moved):
    spikes = get("/stats/spikes", symbol=BTC, interval="3m", window="1h").json()["spikes"]

    assert [(s["open_time"] - TEN) // MINUTE for s in spikes] == [3]
