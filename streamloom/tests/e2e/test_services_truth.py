"""History, kills and an audit with every role a process on real servers: whole, exact, certified, and mended."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import clickhouse_connect
import pytest
from django.conf import settings

from markets.types import DAY_MS, MINUTE_MS
from streamloom.faults.installation import Installation
from streamloom.services.native import NativeServices
from streamloom.tests.e2e import answers, oracle, verdict
from streamloom.tests.e2e.answers import Json
from streamloom.tests.e2e.test_backfill import NEW_YEAR, PATIENCE_S, SEED, SYMBOL, forgetful, states

# Twenty processes are started and some killed, which takes minutes where other work is done as well.
pytestmark = [pytest.mark.slow, pytest.mark.services, pytest.mark.faults, pytest.mark.timeout(1800)]

DAYS: Final = ("2024-12-31", "2025-01-01")
SPAN: Final = range(NEW_YEAR - DAY_MS, NEW_YEAR + DAY_MS)


class Running(Installation):
    """Services that follow an exchange which has an archive; an operator's commands beside them."""

    def command(self, *arguments: str, status: int = 0) -> str:
        """What ``manage.py`` says; its exit status must be that."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=settings.BASE_DIR,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout

    def audit(self, *arguments: str, status: int = 0) -> tuple[Json, dict[str, Json]]:
        """All that the audit says, and the account of each day."""
        told: Json = json.loads(self.command("audit", "--json", *arguments, status=status))
        return told, {day["day"]: day for day in told["days"]}

    def has_read(self, files: int) -> bool:
        """True once so many files of the backfill are done."""
        return int(self.facts.ask("SELECT done_steps FROM ingestion_backfill")[0][0]) >= files

    def has_done(self) -> bool:
        """True once the backfill has succeeded."""
        return self.facts.ask("SELECT state, error, bad_rows FROM ingestion_backfill") == [("done", "", 0)]

    def kill(self, *names: str) -> None:
        """Kill roles, with their children. They are started again, and who has died is known to be dead."""
        for name in names:
            self.crew[name].send(signal.SIGKILL, group=True)
        # The worker's lease would be waited for. The clock cannot be turned, so it is as if a minute had passed.
        self.facts.ask("UPDATE ingestion_backfill SET lease_until = now() WHERE lease_token <> '' RETURNING id")

    def to_rebuild(self) -> int:
        """How many buckets of the two days wait to be made again."""
        where = f"open_time BETWEEN {SPAN.start} AND {SPAN.stop - 1}"
        return int(self.facts.ask(f"SELECT count(*) FROM analytics_dirty WHERE {where}")[0][0])

    def delete_stored(self, first_id: int, last_id: int) -> None:
        """Behind everybody's back."""
        tables = clickhouse_connect.get_client(dsn=self.place.clickhouse_url)
        which = f"symbol = '{SYMBOL}' AND trade_id BETWEEN {first_id} AND {last_id}"
        tables.command(f"ALTER TABLE trades_enriched DELETE WHERE {which} SETTINGS mutations_sync = 1")
        tables.close()


@pytest.fixture
def running(
    services: NativeServices, kafka: str, postgres: str, redis: str, clickhouse_server: str, tmp_path: Path
) -> Iterator[Running]:
    """Trades of one symbol; its klines come with its trades, and from the archive."""
    # Midnight has just passed: the archive has everything up to the first frame, and nothing is left to REST.
    exchange = forgetful("2025-01-02T00:00:30Z")
    made = None
    try:
        made = Running(services, tmp_path, exchange, without=["klines"])
        made.environment["BINANCE_ARCHIVE_URL"] = exchange.rest_url
        made.start([SYMBOL])
        yield made
    finally:
        if made is not None:
            made.end()
        exchange.kill()


def test_two_days_from_the_archive_are_whole_although_roles_were_killed_and_deleted_trades_come_back(
    running: Running,
) -> None:
    brought_through_kills(running)
    exact_and_certified(running)
    _, before = running.audit()
    assert [figures(before[day]) for day in DAYS] == [[1440, 1440, 0, 0, 0, 0]] * 2

    lost = late_trades()
    running.delete_stored(*lost)
    told, damaged = running.audit("--day", DAYS[1], "--repair", status=1)
    assert told["differences"]["ids"] == 1
    assert damaged[DAYS[1]]["ids"][0]["lost"] == [list(lost)]
    running.until(lambda: lost in found_again(running), "the lost trades", PATIENCE_S)
    running.until(lambda: not running.to_rebuild(), "the last rebuild", PATIENCE_S)
    _, after = running.audit()
    assert [after[day]["digest"] for day in DAYS] == [before[day]["digest"] for day in DAYS]
    assert [figures(after[day]) for day in DAYS] == [figures(before[day]) for day in DAYS]


def brought_through_kills(running: Running) -> None:
    """Backfill two days; the worker and ingest are killed in the middle."""
    running.until(lambda: answers.coverage(running, SYMBOL).get("held"), "the first trades", PATIENCE_S)
    running.command("backfill", SYMBOL, "--from", DAYS[0], "--no-wait")
    running.until(lambda: running.has_read(4), "some files", PATIENCE_S)
    running.kill("worker", "ingest")
    running.until(running.has_done, "the end of the backfill", PATIENCE_S)
    running.until(lambda: answers.is_whole(answers.coverage(running, SYMBOL)), "nothing missing", PATIENCE_S)


def exact_and_certified(running: Running) -> None:
    """Nothing is doubled or lost, and every minute is the exchange's."""
    (held,) = verdict.exact(running, {SYMBOL: oracle.market(SEED, SYMBOL)}).values()
    assert held["segments"][0]["from_time"] == SPAN.start
    running.until(lambda: states(running) == {"certified"}, "every minute certified", PATIENCE_S)
    running.until(lambda: not running.to_rebuild(), "the last rebuild", PATIENCE_S)
    ids = running.facts.look(running.facts.ends()).ids(SYMBOL)
    assert len(ids) == len(set(ids))


def late_trades() -> tuple[int, int]:
    """The first and last of some ids of the last whole day, which REST still has."""
    end = NEW_YEAR + DAY_MS
    book = oracle.market(SEED, SYMBOL)
    ids = [row.trade_id for row in book.rows(book.place_at(end - 40 * MINUTE_MS), book.place_at(end))]
    return ids[0], ids[3]


def figures(day: Json) -> list[int]:
    """What an audit counts of a day."""
    return [day[name] for name in ("candles", "certified", "disputed", "missing", "holes", "waiting")]


def found_again(running: Running) -> list[tuple[int, int]]:
    """The gaps of lost trades that were repaired."""
    gaps = (running.get(f"/coverage?symbol={SYMBOL}&include=repaired") or {"gaps": []})["gaps"]
    return [(gap["from_id"], gap["to_id"]) for gap in gaps if (gap["cause"], gap["state"]) == ("lost", "repaired")]
