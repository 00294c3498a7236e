"""The same trades live, from history and replayed from a file: the same candles, to the last digit of every field."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.conf import settings

from ingestion.log.topics import COVERAGE
from ingestion.pipeline.records import Trade
from markets.types import MINUTE_MS, to_text
from streamloom.tests.demo.running import RunningDemo
from streamloom.tests.e2e import answers, digests, oracle, verdict
from streamloom.tests.e2e.answers import Json
from streamloom.tests.e2e.exchange import RunningExchange

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

SEED = 9
# BTCUSDT trades twice a second of its time; DOTUSDT has minutes without any trade.
SYMBOLS = ("BTCUSDT", "DOTUSDT")
FOLLOWED = ("--symbols", ",".join(SYMBOLS))
MINUTES = 8


@contextmanager
def following(exchange: RunningExchange, folder: Path, *arguments: str) -> Iterator[RunningDemo]:
    """A demo that is killed at the end of the block: what it left must agree all the same."""
    demo = RunningDemo(exchange, folder, *FOLLOWED, *arguments)
    try:
        yield demo
    finally:
        demo.kill()


def audited(folder: Path) -> Json:
    """What ``manage.py audit`` says of the folder of a demo that was killed; it must agree."""
    environment = {**os.environ, "STREAMLOOM_DATA_DIR": str(folder / answers.FOLDER)}
    command = [sys.executable, "manage.py", "audit", "--json"]
    done = subprocess.run(
        command, cwd=settings.BASE_DIR, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found: Json = json.loads(done.stdout)
    return found


def recording(trades: list[Trade], folder: Path) -> Path:
    """The trades as a file of the public archive."""
    path = folder / f"{trades[0].symbol}-aggTrades-2026-03-02.csv"
    rows = (
        (one.trade_id, to_text(one.price), to_text(one.qty), one.first_id, one.last_id, one.trade_time)
        + (one.is_buyer_maker, True)
        for one in trades
    )
    path.write_text("".join(",".join(map(str, row)) + "\n" for row in rows))
    return path


def span_of(held: Json) -> tuple[int, int]:
    """The minutes that a coverage holds wholly: from its first to the last one that surely is closed."""
    [segment] = held["segments"]
    return segment["from_time"], held["last_time"] // MINUTE_MS * MINUTE_MS - MINUTE_MS


def wait_for(demo: RunningDemo, wanted: dict[str, str], spans: dict[str, tuple[int, int]]) -> None:
    """Until each symbol's minutes are the wanted ones: what history brings is folded a moment after it has come."""
    for symbol, text in wanted.items():
        demo.until(lambda s=symbol, t=text: digests.answered(demo, s, *spans[s]) == t, f"{symbol}'s digest")


def test_live_history_and_replay_of_the_same_trades_have_one_digest(tmp_path: Path) -> None:
    books = {symbol: oracle.market(SEED, symbol) for symbol in SYMBOLS}
    exchange = RunningExchange("--seed", SEED, "--start", "2026-03-02T10:00:30Z", "--speed", 30)
    try:
        with following(exchange, tmp_path / "live", "--history", "0") as live:
            begun = live.until(lambda: answers.coverage(live, SYMBOLS[0]).get("feed_time"), "the first frame", 400)
            live.until(
                lambda: answers.coverage(live, SYMBOLS[0])["feed_time"] >= begun + MINUTES * MINUTE_MS, "some minutes"
            )
            held = {symbol: verdict.whole(live, symbol) for symbol in SYMBOLS}
            spans = {symbol: span_of(found) for symbol, found in held.items()}
            truth = {
                symbol: oracle.traded(books[symbol], found["first_trade_id"], found["last_trade_id"])
                for symbol, found in held.items()
            }
            wanted = {symbol: digests.expected(truth[symbol], *spans[symbol]) for symbol in SYMBOLS}
            wait_for(live, wanted, spans)
        with following(exchange, tmp_path / "history", "--history", "2h") as late:
            wait_for(late, wanted, spans)
    finally:
        exchange.kill()
    files = [recording(trades, tmp_path) for trades in truth.values()]
    again = RunningExchange("--replay", *files, "--speed", 0)
    try:
        with following(again, tmp_path / "replay", "--history", "0") as replayed:
            wait_for(replayed, wanted, spans)
            # It is over so soon that nothing may be stored yet, and the audit looks at what is.
            replayed.until(lambda: answers.stored(tmp_path / "replay", COVERAGE.name), "what is held is stored")
    finally:
        again.kill()
    for name in ("live", "history", "replay"):
        assert audited(tmp_path / name)["agrees"], name
