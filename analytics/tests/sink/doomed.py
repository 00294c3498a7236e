"""A process that stores what is in the log, for the tests that kill it.

``kill``: dies by SIGKILL between insert and advance. ``finish``: stores all and prints what the tables hold.
The data folder comes from the environment, as in production.
"""

import json
import os
import random
import signal
import sys

import django


def main(task: str) -> None:
    django.setup()
    from django.core.management import call_command

    from analytics.sink import positions
    from ingestion.log import close_log, open_log

    log = open_log()
    if task == "kill":
        call_command("migrate", "analytics", verbosity=0)
        call_command("clickhouse_migrate", stdout=sys.stderr)
        _fill(log)
        _store(_Doomed(log))
    positions.break_leases()
    _store(log)
    sys.stdout.write(json.dumps(_found()))
    close_log()


class _Doomed:
    """The log, whose next append (dead letters: after the insert, before the advance) is the process's end."""

    def __init__(self, log):
        self._log = log

    def append(self, topic, records):
        os.kill(os.getpid(), signal.SIGKILL)

    def __getattr__(self, name):
        return getattr(self._log, name)


def _fill(log) -> None:
    from analytics.tests.samples import BTC, TEN, candle, closed, enriched, put, trade
    from ingestion.log.port import Record
    from ingestion.log.topics import CANDLES_1M, ENRICHED_TRADES

    put(log, *(enriched(trade(i, TEN + i), late=i == 7) for i in range(1, 101)), closed(candle(TEN, (1, 99))))
    for topic in (ENRICHED_TRADES, CANDLES_1M):
        log.append(topic.name, [Record(BTC, b"unreadable")])


def _store(log) -> None:
    from analytics.sink.load import load
    from ingestion.log.topics import CANDLES_1M, DEAD_LETTERS, ENRICHED_TRADES

    for topic in (ENRICHED_TRADES, CANDLES_1M, DEAD_LETTERS):
        load(log, topic.name, 0, max_rows=1_000, chance=random.Random(1))


def _found() -> dict[str, int]:
    from analytics.clickhouse.client import client
    from analytics.models import Dirty

    tables = ("trades_enriched", "candles", "candle_journal", "dead_letters")
    counts = {table: client().query(f"SELECT count() FROM {table} FINAL").first_row[0] for table in tables}
    parts = client().query("SELECT sum(rows) FROM system.parts WHERE table = 'trades_enriched' AND active")
    return counts | {"rows_written": int(parts.first_row[0]), "dirty": Dirty.objects.count()}


if __name__ == "__main__":
    main(sys.argv[1])
