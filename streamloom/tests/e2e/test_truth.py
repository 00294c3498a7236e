"""The whole promise at once: everything goes wrong, and what is stored and answered is the truth (docs/truth.md).

Run it with ``-s`` to see the figures.
"""

import json
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from ingestion.binance.simulator.book import Book
from ingestion.pipeline.records import Trade
from markets.types import MINUTE_MS, Interval
from streamloom.tests.demo.running import RunningDemo
from streamloom.tests.e2e import answers, oracle
from streamloom.tests.e2e.answers import Json
from streamloom.tests.e2e.exchange import RunningExchange
from streamloom.tests.e2e.test_parity import audited

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

SEED = 5
SYMBOLS = ("BTCUSDT", "ETHUSDT", "DOTUSDT")
BAD = {"drop": 0.01, "double": 0.01, "reorder": 0.01, "malformed": 0.002, "cut_every_s": 5.0, "rest_lag_ms": 5_000}
KILLS = 3
# Seconds for a step on a machine that has other things to do; none of them is waited out when all is well.
PATIENCE_S = 400
FIELDS = (
    *("open_time", "open", "high", "low", "close", "volume", "quote_volume", "trades"),
    *("taker_buy_volume", "taker_buy_quote_volume"),
)


class Run(NamedTuple):
    """A demo in ``folder`` that follows an exchange, and may be killed and started again."""

    exchange: RunningExchange
    folder: Path
    demos: list[RunningDemo]

    @property
    def demo(self) -> RunningDemo:
        return self.demos[-1]

    def start(self) -> None:
        environment = {"REPAIR_CONFIRM_S": "0.5,0.5,0.5"}
        symbols = ("--symbols", ",".join(SYMBOLS), "--history", "10m")
        self.demos.append(RunningDemo(self.exchange, self.folder, *symbols, environment=environment))

    def clock(self) -> int:
        return int(answers.coverage(self.demo, SYMBOLS[0]).get("feed_time") or 0)

    def wait_minutes(self, minutes: float) -> None:
        begun = self.demo.until(self.clock, "the first frame", PATIENCE_S)
        end = begun + minutes * MINUTE_MS
        self.demo.until(lambda: self.clock() >= end, f"{minutes} minutes of the feed", PATIENCE_S)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """An exchange at thirty times real time, and no demo yet."""
    exchange = RunningExchange("--seed", SEED, "--start", "2026-03-02T10:00:30Z", "--speed", 30)
    made = Run(exchange, tmp_path, [])
    yield made
    for demo in made.demos:
        demo.kill()
    exchange.kill()


def test_after_everything_went_wrong_what_is_there_is_exact_certified_and_nothing_is_hidden(run: Run) -> None:
    seed = int(os.environ.get("FAULT_SEED", time.time_ns() % 1_000_000))
    chance = random.Random(seed)
    books = {symbol: oracle.market(SEED, symbol) for symbol in SYMBOLS}

    hole = misfortunes(run, chance)
    books[SYMBOLS[0]].set_holes([hole])
    held = {symbol: settled(run, symbol, hole if symbol == SYMBOLS[0] else None) for symbol in SYMBOLS}
    spans = {symbol: span_of(found) for symbol, found in held.items()}
    for symbol in SYMBOLS:
        true_and_certified(run, books[symbol], held[symbol], spans[symbol], hole)
    repaired = [gap for symbol in SYMBOLS for gap in lost_and_found(run, symbol)]
    run.demo.kill()
    told = audited(run.folder)

    assert told["differences"] == {}
    assert {day["symbol"]: (day["missing"], day["holes"]) for day in told["days"]} == {
        symbol: (0, hole[1] - hole[0] + 1 if symbol == SYMBOLS[0] else 0) for symbol in SYMBOLS
    }
    assert [day["disputes"] for day in told["days"]] == [[]] * len(SYMBOLS)
    show(seed, told, repaired, spans)


def misfortunes(run: Run, chance: random.Random) -> tuple[int, int]:
    """Everything goes wrong, for a while; the ids that the exchange will never have."""
    run.exchange.change(**BAD)
    run.start()
    run.wait_minutes(2)
    newest = answers.coverage(run.demo, SYMBOLS[0])["last_trade_id"]
    hole = (newest + 600, newest + 606)
    run.exchange.dig(SYMBOLS[0], *hole)
    for _ in range(KILLS):
        run.wait_minutes(chance.uniform(2, 4))
        run.exchange.do("malformed", text="no json")
        run.exchange.do("refuse", status=429, for_s=2, retry_after_s=1)
        run.wait_minutes(chance.uniform(0, 1))
        run.demo.kill()
        run.start()
    run.wait_minutes(3)
    run.exchange.behave()
    run.wait_minutes(2)
    return hole


def settled(run: Run, symbol: str, hole: tuple[int, int] | None) -> Json:
    """The coverage, as soon as nothing is missing but the hole, which is told with its exact ids."""
    wanted = [] if hole is None else [(*hole, "hole")]

    def told() -> Json | None:
        found = answers.coverage(run.demo, symbol)
        spans = [(gap["from_id"], gap["to_id"], gap["state"]) for gap in found.get("gaps", ["?"]) if gap != "?"]
        return found if found.get("held") and spans == wanted else None

    return run.demo.until(told, f"{symbol}: nothing missing but {wanted}", PATIENCE_S)


def span_of(held: Json) -> tuple[int, int]:
    """The minutes that are covered and surely closed."""
    [segment] = held["segments"]
    return segment["from_time"], held["last_time"] // MINUTE_MS * MINUTE_MS - MINUTE_MS


def true_and_certified(run: Run, book: Book, held: Json, span: tuple[int, int], hole: tuple[int, int]) -> None:
    """Every minute is what the exchange's trades make, and what the exchange itself says, and is certified.

    Where ids never were, fills are missing from the exchange's own numbering as well: that proves nothing, so such a
    minute may stay ``closed``, and says how many ids it may lack.
    """
    start, end = span
    doubtful = {gap["from_time"] // MINUTE_MS * MINUTE_MS for gap in held["gaps"]}
    doubtful |= {gap["to_time"] // MINUTE_MS * MINUTE_MS for gap in held["gaps"]}
    lost = hole[1] - hole[0] + 1
    truth: list[Trade] = oracle.traded(book, held["first_trade_id"], held["last_trade_id"])
    expected = oracle.candles(truth, Interval.M1, start, end)
    symbol = held["symbol"]

    def wrong() -> str:
        found = answers.candles(run.demo, symbol, Interval.M1, start, end)
        states = [
            (row["open_time"], row["state"], row["missing"])
            for row in found
            if (row["state"], row["missing"]) != ("certified", 0)
            and not (row["open_time"] in doubtful and (row["state"], row["missing"]) == ("closed", lost))
        ]
        told = [row | {"missing": 0} if row["open_time"] in doubtful else row for row in found]
        return answers.difference(told, expected) or (str(states) if states else "")

    try:
        run.demo.until(lambda: not wrong(), f"{symbol}: every minute exact and certified", PATIENCE_S)
    except AssertionError as error:
        raise AssertionError(f"{symbol}: {wrong()}") from error
    ours = answers.candles(run.demo, symbol, Interval.M1, start, end)
    query = f"symbol={symbol}&interval=1m&from={start}&to={end}&source=exchange"
    theirs = answers.pages(run.demo, "candles", query)
    assert [same(row) for row in ours if row["trades"]] == [same(row) for row in theirs if row["trades"]]
    assert [row["open_time"] for row in ours] == [row["open_time"] for row in theirs]


def same(row: Json) -> list[object]:
    """What the exchange's own candle says of a minute."""
    return [row[name] for name in FIELDS]


def lost_and_found(run: Run, symbol: str) -> list[Json]:
    """The gaps of the stream that were repaired."""
    found = (run.demo.get(f"/coverage?symbol={symbol}&include=repaired") or {"gaps": []})["gaps"]
    return [gap for gap in found if gap["state"] == "repaired"]


def show(seed: int, told: Json, repaired: list[Json], spans: dict[str, tuple[int, int]]) -> None:
    """The figures of the run."""
    days = [{name: value for name, value in day.items() if name not in ("ids", "disputes")} for day in told["days"]]
    minutes = {symbol: (end - start) // MINUTE_MS for symbol, (start, end) in spans.items()}
    gaps = {"count": len(repaired), "ids": sum(gap["count"] for gap in repaired)}
    figures = {"FAULT_SEED": seed, "compared_minutes": minutes, "repaired_gaps": gaps, "kills": KILLS, "days": days}
    print(json.dumps(figures, indent=1))  # noqa: T201 - pytest shows it with -s
