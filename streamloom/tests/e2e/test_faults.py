"""An exchange that does everything wrong at once: what comes out is exactly what was traded."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ingestion.binance.simulator import frames
from ingestion.binance.simulator.faults import FaultPlan
from markets.types import MINUTE_MS
from streamloom.tests.demo.running import RunningDemo
from streamloom.tests.e2e import answers, oracle, verdict
from streamloom.tests.e2e.answers import Json
from streamloom.tests.e2e.exchange import RunningExchange

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SEED = 4
SYMBOLS = ("BTCUSDT", "ETHUSDT")
ARGUMENTS = ("--symbols", ",".join(SYMBOLS), "--history", "5m")
MARKET = ("--seed", SEED, "--start", "2026-03-02T10:00:30Z")
BOOKS = {symbol: oracle.market(SEED, symbol) for symbol in SYMBOLS}
BAD = {"drop": 0.01, "double": 0.01, "reorder": 0.01, "malformed": 0.001, "cut_every_s": 4.0, "rest_lag_ms": 5_000}
NO_JSON = 'these are "no" bytes: \u00e9'


@pytest.fixture
def demos(tmp_path: Path) -> Iterator[list[RunningDemo]]:
    """What is put in here is killed at the end."""
    running: list[RunningDemo] = []
    yield running
    for demo in running:
        demo.kill()


@pytest.fixture
def exchange(request: pytest.FixtureRequest) -> Iterator[RunningExchange]:
    """A made-up market; the parameter is its speed."""
    running = RunningExchange(*MARKET, "--speed", getattr(request, "param", 30))
    yield running
    running.kill()


def start(demos: list[RunningDemo], exchange: RunningExchange, folder: Path, **environment: str) -> RunningDemo:
    demos.append(RunningDemo(exchange, folder, *ARGUMENTS, environment=environment))
    return demos[-1]


def feed_time(demo: RunningDemo) -> int:
    """The first symbol's clock; 0 before its first frame."""
    return answers.coverage(demo, SYMBOLS[0]).get("feed_time") or 0


def wait_minutes(demo: RunningDemo, minutes: int) -> None:
    """Until the feed has gone on for so long."""
    begun = demo.until(lambda: feed_time(demo), "the first frame")
    demo.until(lambda: feed_time(demo) >= begun + minutes * MINUTE_MS, f"{minutes} minutes of the feed")


def finish(demo: RunningDemo, exchange: RunningExchange, folder: Path) -> tuple[dict[str, Json], Json]:
    """Compare everything once nothing is missing, stop, and look into the folder."""
    held = verdict.exact(demo, BOOKS)
    exchange.kill()
    demo.until(lambda: answers.dirty(demo, folder) == 0, "the last rebuild")
    assert demo.stop() == 0
    return held, verdict.sound(folder, held)


def broken_frames(first_id: int, last_id: int, symbol: str) -> set[bytes]:
    """The malformed frames that the exchange may have sent of these ids."""
    plan = FaultPlan().changed(BAD)
    rows = BOOKS[symbol].rows(BOOKS[symbol].place_of(first_id), BOOKS[symbol].place_of(last_id + 1))
    whole = [frames.agg_trade(symbol, row) for row in rows if plan.hits("malformed", symbol, row.trade_id)]
    return {text[: len(text) // 2].encode() for text in whole}


def test_dropped_doubled_swapped_broken_cut_and_refused_it_comes_to_exactly_what_was_traded(
    exchange: RunningExchange, demos: list[RunningDemo], tmp_path: Path
) -> None:
    exchange.change(**BAD)
    demo = start(demos, exchange, tmp_path)
    wait_minutes(demo, 2)
    exchange.do("refuse", status=429, for_s=3, retry_after_s=2)
    exchange.do("malformed", text=NO_JSON)
    wait_minutes(demo, 8)
    exchange.behave()

    held, found = finish(demo, exchange, tmp_path)

    # One trade in a thousand may be none at all in a short run; what was sent on request must be there.
    letters = {bytes.fromhex(frame) for _, frame in found["letters"]}
    expected = {NO_JSON.encode()}
    for symbol, span in held.items():
        expected |= broken_frames(span["first_trade_id"], span["last_trade_id"], symbol)
    assert NO_JSON.encode() in letters
    assert letters <= expected
    assert {reason for reason, _ in found["letters"]} == {"not_json"}
    assert found["stored_letters"] == found["letters"]
    assert all((span["missing"], span["holes"], span["gaps"]) == (0, 0, []) for span in held.values())


def test_ids_that_nobody_serves_are_reported_as_a_hole_and_nothing_else_is(
    exchange: RunningExchange, demos: list[RunningDemo], tmp_path: Path
) -> None:
    demo = start(demos, exchange, tmp_path, REPAIR_CONFIRM_S="0.2,0.2,0.2")
    newest = demo.until(lambda: answers.coverage(demo, SYMBOLS[0]).get("last_trade_id"), "the first trades")
    hole = (newest + 400, newest + 406)
    exchange.change(holes={SYMBOLS[0]: [list(hole)]}, drop=0.01)

    demo.until(lambda: hole in holes(demo), "the hole")
    exchange.change(drop=0.0)
    held = demo.until(lambda: only_holes(demo), "every gap closed but the hole")

    assert [(gap["from_id"], gap["to_id"], gap["count"], gap["state"]) for gap in held["gaps"]] == [(*hole, 7, "hole")]
    assert (held["holes"], held["missing"], held["complete"]) == (7, 7, False)
    neighbours = oracle.traded(BOOKS[SYMBOLS[0]], hole[0] - 1, hole[1] + 1)
    assert (held["gaps"][0]["from_time"], held["gaps"][0]["to_time"]) == (
        neighbours[0].trade_time,
        neighbours[-1].trade_time,
    )
    verdict.whole(demo, SYMBOLS[1])


def holes(demo: RunningDemo) -> list[tuple[int, int]]:
    """The id ranges that are told as holes."""
    gaps = answers.coverage(demo, SYMBOLS[0]).get("gaps", [])
    return [(gap["from_id"], gap["to_id"]) for gap in gaps if gap["state"] == "hole"]


def only_holes(demo: RunningDemo) -> Json | None:
    """The coverage, when nothing but holes is left in it."""
    held = answers.coverage(demo, SYMBOLS[0])
    return held if held and {gap["state"] for gap in held["gaps"]} <= {"hole"} else None


def test_a_server_that_shuts_down_costs_no_trade(
    exchange: RunningExchange, demos: list[RunningDemo], tmp_path: Path
) -> None:
    demo = start(demos, exchange, tmp_path)
    wait_minutes(demo, 1)

    exchange.do("shutdown", delay_s=3)
    wait_minutes(demo, 4)

    # Made before break: the new connection carried the symbols before the old one ended, so no id was ever missing.
    assert [gap["cause"] for symbol in SYMBOLS for gap in repaired(demo, symbol)] == []
    finish(demo, exchange, tmp_path)


def repaired(demo: RunningDemo, symbol: str) -> list[Json]:
    """Gaps of the stream, open or repaired; history and starts are no loss."""
    gaps = (demo.get(f"/coverage?symbol={symbol}&include=repaired") or {"gaps": []})["gaps"]
    return [gap for gap in gaps if gap["cause"] not in ("start", "backfill")]


@pytest.mark.faults
@pytest.mark.parametrize("exchange", [10], indirect=True)
def test_sockets_that_freeze_are_left_for_new_ones_and_no_trade_is_lost(
    exchange: RunningExchange, demos: list[RunningDemo], tmp_path: Path
) -> None:
    demo = start(demos, exchange, tmp_path)
    wait_minutes(demo, 1)

    exchange.change(frozen=True)
    demo.until(lambda: answers.coverage(demo, SYMBOLS[0]).get("stale_s", 0) > 18, "longer than any patience")
    exchange.behave()
    wait_minutes(demo, 2)

    finish(demo, exchange, tmp_path)


@pytest.mark.faults
def test_hours_of_everything_wrong_at_once_come_to_exactly_what_was_traded(
    exchange: RunningExchange, demos: list[RunningDemo], tmp_path: Path
) -> None:
    exchange.change(**BAD | {"drop": 0.05, "malformed": 0.01, "cut_every_s": 2.5})
    demo = start(demos, exchange, tmp_path)
    for status in (429, 418, 429):
        wait_minutes(demo, 8)
        exchange.do("refuse", status=status, for_s=4, retry_after_s=2)
        exchange.do("cut")
    exchange.behave()

    _, found = finish(demo, exchange, tmp_path)

    assert {reason for reason, _ in found["letters"]} == {"not_json"}
    assert found["stored_letters"] == found["letters"]
