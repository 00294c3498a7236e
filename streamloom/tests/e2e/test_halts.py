"""The exchange stands still, ids are lost for good, and a market goes on: three different answers of one program."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from markets.types import MINUTE_MS
from streamloom.tests.demo.running import RunningDemo
from streamloom.tests.e2e import answers
from streamloom.tests.e2e.exchange import RunningExchange

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SYMBOLS = ("BTCUSDT", "ETHUSDT")
ARGUMENTS = ("--symbols", ",".join(SYMBOLS), "--history", "5m")
MARKET = ("--seed", 4, "--start", "2026-03-02T10:00:30Z", "--speed", 30)


@pytest.fixture
def exchange() -> Iterator[RunningExchange]:
    running = RunningExchange(*MARKET)
    yield running
    running.kill()


def test_an_outage_of_the_exchange_is_told_apart_from_lost_trades(exchange: RunningExchange, tmp_path: Path) -> None:
    demo = RunningDemo(exchange, tmp_path, *ARGUMENTS, environment={"REPAIR_CONFIRM_S": "0.2,0.2,0.2"})
    try:
        now = demo.until(lambda: answers.coverage(demo, SYMBOLS[0]).get("feed_time"), "the first frame")
        newest = demo.until(lambda: answers.coverage(demo, SYMBOLS[1]).get("last_trade_id"), "the first trade")
        # Far enough ahead for a busy machine: a halt is told before it begins.
        begins = (now // MINUTE_MS + 15) * MINUTE_MS
        ends = begins + 4 * MINUTE_MS
        hole = [newest + 400, newest + 406]
        exchange.change(halts={SYMBOLS[0]: [[begins, ends]]}, holes={SYMBOLS[1]: [hole]})

        halted = demo.until(lambda: with_halts(demo), "the halt")
        lossy = demo.until(lambda: with_hole(demo), "the hole")

        assert halted["halts"] == [{"from_time": begins, "to_time": ends}]
        assert (halted["missing"], halted["gaps"]) == (0, [])
        assert lossy["halts"] == []
        assert [(gap["from_id"], gap["to_id"]) for gap in lossy["gaps"] if gap["state"] == "hole"] == [tuple(hole)]
    finally:
        demo.kill()


def with_halts(demo: RunningDemo) -> answers.Json | None:
    held = answers.coverage(demo, SYMBOLS[0])
    return held if held.get("halts") and not held["gaps"] else None


def with_hole(demo: RunningDemo) -> answers.Json | None:
    held = answers.coverage(demo, SYMBOLS[1])
    return held if any(gap["state"] == "hole" for gap in held.get("gaps", [])) else None
