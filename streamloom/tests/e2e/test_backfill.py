"""History from the public archive, in a demo that is killed at every kind of moment: exact, whole, certified."""

import os
import random
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest
from django.conf import settings

from markets.types import DAY_MS, HOUR_MS, MINUTE_MS, Interval
from streamloom.tests.demo.running import RunningDemo
from streamloom.tests.e2e import answers, oracle, verdict
from streamloom.tests.e2e.exchange import RunningExchange
from streamloom.tests.e2e.following import Following
from streamloom.tests.e2e.test_kills import chance_of_run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

SEED: Final = 23
# Less than one trade a minute: two days are two thousand, and many minutes are empty.
SYMBOL: Final = "DOTUSDT"
# 2025-01-01 UTC: the archive's times turn to microseconds between the two days.
NEW_YEAR: Final = 1_735_689_600_000
PATIENCE_S: Final = 600.0


@pytest.fixture
def exchange() -> Iterator[RunningExchange]:
    """REST has forgotten everything but the last three hours."""
    running = forgetful("2025-01-02T02:00:30Z")
    yield running
    running.kill()


def forgetful(start: str) -> RunningExchange:
    """An exchange whose REST knows the last three hours; its archive has the days that are over."""
    return RunningExchange("--seed", SEED, "--start", start, "--rest-reach", 3 * HOUR_MS, "--weight-limit", 100_000)


class Folder:
    """A demo's folder with a symbol whose backfill is asked for by the command."""

    def __init__(self, exchange: RunningExchange, path: Path) -> None:
        self.exchange, self.path = exchange, path
        self.environment = {"BINANCE_ARCHIVE_URL": exchange.rest_url}

    def demo(self) -> RunningDemo:
        return RunningDemo(
            self.exchange, self.path, "--symbols", SYMBOL, "--history", "0", environment=self.environment
        )

    def command(self, *arguments: str) -> str:
        """What ``manage.py backfill`` says, beside the running demo."""
        environment = {"STREAMLOOM_DATA_DIR": str(self.path / answers.FOLDER), **self.environment}
        done = subprocess.run(
            [sys.executable, "manage.py", "backfill", *arguments],
            cwd=settings.BASE_DIR,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def row(self, *names: str) -> tuple[object, ...]:
        """Columns of the backfill's row."""
        database = sqlite3.connect(f"file:{self.path / answers.FOLDER}/streamloom.db?mode=ro", uri=True, timeout=30)
        with closing(database):
            (row,) = database.execute(f"SELECT {', '.join(names)} FROM ingestion_backfill")  # noqa: S608
        return tuple(row)


def killed_on_the_way(folder: Folder, chance: random.Random) -> RunningDemo:
    """Kill the demo when a part is done, again and again; the one that runs at last."""
    demo = folder.demo()
    try:
        demo.until(lambda: answers.coverage(demo, SYMBOL).get("held"), "the first trades", PATIENCE_S)
        folder.command(SYMBOL, "--from", "2024-12-31", "--no-wait")
        for moment in (begun(folder), after_steps(folder, chance.randint(1, 4)), after_steps(folder, 5)):
            demo.until(moment, "some of the backfill", PATIENCE_S)
            demo.kill()
            demo = folder.demo()
        return demo
    except BaseException:
        demo.kill()
        raise


def begun(folder: Folder) -> Callable[[], bool]:
    return lambda: folder.row("state") == ("running",)


def after_steps(folder: Folder, steps: int) -> Callable[[], bool]:
    return lambda: int(str(folder.row("done_steps")[0])) >= steps


def test_two_days_that_rest_has_forgotten_are_whole_exact_and_certified_although_the_demo_was_killed(
    exchange: RunningExchange, tmp_path: Path
) -> None:
    folder = Folder(exchange, tmp_path)
    demo = killed_on_the_way(folder, chance_of_run())
    try:
        demo.until(lambda: folder.row("state") == ("done",), "the end of the backfill", PATIENCE_S)
        demo.until(lambda: answers.is_whole(answers.coverage(demo, SYMBOL)), "the rest by REST", PATIENCE_S)
        held = verdict.exact(demo, {SYMBOL: oracle.market(SEED, SYMBOL)})
        demo.until(lambda: states(demo) == {"certified"}, "every minute certified", PATIENCE_S)
        assert "done" in folder.command("--status")
        exchange.kill()
        demo.until(lambda: answers.dirty(demo, tmp_path) == 0, "the last rebuild", PATIENCE_S)
        assert demo.stop() == 0
    finally:
        demo.kill()
    (segment,) = held[SYMBOL]["segments"]
    assert segment["from_time"] == NEW_YEAR - DAY_MS
    found = verdict.sound(tmp_path, held)
    assert found["letters"] == []
    assert folder.row("error", "bad_rows") == ("", 0)


def states(demo: Following) -> set[str]:
    """The states of all minutes of the two days that came from the archive."""
    rows = answers.candles(demo, SYMBOL, Interval.M1, NEW_YEAR - DAY_MS, NEW_YEAR + DAY_MS)
    return {row["state"] for row in rows} if len(rows) == 2 * DAY_MS // MINUTE_MS else set()
