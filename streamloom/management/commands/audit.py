"""``manage.py audit``: is what is stored true?"""

import datetime as dt
import sys
from argparse import ArgumentTypeError
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console

from streamloom.demo import folder as folders

# What the shell sees: 1 means that something stored is not true, this that nothing was looked at.
_NOT_DONE = 2
_DAY = dt.timedelta(days=1)


def utc_day(text: str) -> dt.datetime:
    """A UTC day, such as 2026-01-31."""
    try:
        return dt.datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=dt.UTC)
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r} is no day: YYYY-MM-DD, such as 2026-01-31 (UTC)") from error


class Command(BaseCommand):
    help = (
        "Compare what is stored with itself and with the exchange's own candles: every id is held, missing or a hole; "
        "candles are what their trades make, hours and days what their minutes make, verdicts what klines say. Reads "
        "ClickHouse, the log and the database; writes nothing without --repair. Exits 0 when everything agrees, 1 when "
        "something differs, 2 when it could not be looked at."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--symbol", nargs="+", metavar="SYMBOL", help="only these; default: all that are stored")
        parser.add_argument("--day", type=utc_day, help="only this UTC day, YYYY-MM-DD")
        parser.add_argument("--from", type=utc_day, dest="first", help="from this UTC day on")
        parser.add_argument("--to", type=utc_day, dest="last", help="up to this UTC day, included")
        parser.add_argument("--repair", action="store_true", help="ask for what makes the differences go away")
        parser.add_argument("--json", action="store_true", help="print JSON instead of a table")

    def handle(self, *args: Any, **options: Any) -> None:
        start, end = _span(options)
        try:
            with _store():
                sound = self._audit(options, start, end)
        except CommandError:
            raise
        except Exception as error:
            # Whatever failed, 1 would say that something stored is not true.
            why = f"{type(error).__name__}: {error}. manage.py doctor looks at every server (--traceback: all of it)."
            raise CommandError(f"The audit could not be made. {why}", returncode=_NOT_DONE) from error
        if not sound:
            sys.exit(1)

    def _audit(self, options: dict[str, Any], start: int | None, end: int | None) -> bool:
        # Only now: these read settings, and open nothing that another process may hold.
        from analytics.audit import reads, report
        from analytics.audit import repair as repairs
        from analytics.audit.findings import Day, Skipped
        from analytics.audit.walk import LOOK_AGAIN_S, Wish, audit
        from ingestion.log import open_log

        symbols = _known(options["symbol"], reads.symbols())
        console = Console(file=self.stderr._out, highlight=False)
        log = open_log()
        # Embedded, this process has the folder for itself: nothing arrives meanwhile.
        again = () if settings.STREAMLOOM_MODE == "embedded" else LOOK_AGAIN_S
        days: list[Day] = []
        skipped: list[Skipped] = []
        with console.status("reading ...") as status:
            for found in audit(log, Wish(symbols, start, end), look_again_s=again):
                if isinstance(found, Skipped):
                    skipped.append(found)
                else:
                    days.append(found)
                    status.update(f"{found.symbol} {found.day}")
        asked = repairs.ask(log, days) if options["repair"] else None
        if options["json"]:
            self.stdout.write(report.as_json(days, skipped, asked).decode())
        else:
            out = Console(file=self.stdout._out, width=None if self.stdout.isatty() else 150, highlight=False)
            report.show(out, days, skipped, asked)
        return report.agrees(days)


def _span(options: dict[str, Any]) -> tuple[int | None, int | None]:
    """The days as ``[start, end)`` in epoch ms."""
    day, first, last = options["day"], options["first"], options["last"]
    if day is not None and (first is not None or last is not None):
        raise CommandError("--day is one day; leave out --from and --to.", returncode=_NOT_DONE)
    if first is not None and last is not None and last < first:
        raise CommandError("--to lies before --from.", returncode=_NOT_DONE)
    first, last = (day, day) if day is not None else (first, last)
    return None if first is None else _ms(first), None if last is None else _ms(last + _DAY)


def _ms(moment: dt.datetime) -> int:
    return int(moment.timestamp() * 1000)


def _known(wanted: list[str] | None, stored: list[str]) -> list[str] | None:
    if not stored:
        raise CommandError(f"Nothing is stored {_where()}.", returncode=_NOT_DONE)
    if wanted is None:
        return None
    symbols = list(dict.fromkeys(symbol.upper() for symbol in wanted))
    unknown = [symbol for symbol in symbols if symbol not in stored]
    if unknown:
        raise CommandError(
            f"Nothing is stored of {', '.join(unknown)}. Stored: {', '.join(stored[:20])}.", returncode=_NOT_DONE
        )
    return symbols


def _where() -> str:
    if settings.STREAMLOOM_MODE == "embedded":
        return f"in {settings.STREAMLOOM_DATA_DIR} (STREAMLOOM_DATA_DIR names another folder, such as var/simulated)"
    return "in this ClickHouse"


@contextmanager
def _store() -> Iterator[None]:
    """Embedded, the data folder is this process's alone for as long as it looks; services can be read at any time."""
    if settings.STREAMLOOM_MODE != "embedded":
        yield
        return
    folder = settings.STREAMLOOM_DATA_DIR
    if not (folder / "log.db").exists():
        raise CommandError(f"Nothing is stored {_where()}.", returncode=_NOT_DONE)
    try:
        lock = folders.hold(folder)
    except folders.FolderProblem as problem:
        raise CommandError(
            f"{problem} A running demo audits each day by itself: see /status and the admin's audits.",
            returncode=_NOT_DONE,
        ) from problem
    with lock:
        try:
            yield
        finally:
            _close()


def _close() -> None:
    from analytics.clickhouse.client import close_clients
    from ingestion.log import close_log

    close_log()
    close_clients()
