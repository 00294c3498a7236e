"""``manage.py backfill``: history of a symbol from the exchange's public archive."""

import datetime as dt
import signal
import threading
from argparse import ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from typing import Any, Final

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, TaskID, TaskProgressColumn, TextColumn
from rich.table import Table
from rich.text import Text

from ingestion import clock
from ingestion.backfill import store
from ingestion.log import close_log
from ingestion.models import Backfill, Heartbeat
from markets.selectors import find

_LOOK_S: Final = 0.5
_SLICE_S: Final = 2.0
_ALIVE: Final = dt.timedelta(seconds=15)
_SHOWN: Final = 20
_SYMBOL_WIDTH: Final = 10

_EXAMPLES = """
what happens
  The symbol's trades from that time on become wanted: a gap in /coverage, like any other. The archive's files of each
  day (daily ones before monthly ones) are fetched, compared with their checksums, and appended to the log as far as
  their trades are missing, with the klines of the same days; candles follow and are certified by those klines. What
  the archive does not have (today, days that are not published yet, truncated files) is asked for by REST.
  Live trades go first: a backfill only uses the room that they leave.

where it runs
  Embedded (make demo): the running demo does it, this command queues it and shows how far it is.
  Services: this command does it itself; end it with Ctrl-C and the Celery workers go on.
  Kill anything at any time: it goes on where it was, and nothing is doubled.

examples
  manage.py backfill BTCUSDT --from 2024-01-01
  manage.py backfill BTCUSDT --from 2024-01-01 --to 2024-02-01 --klines-only --with-1s
  manage.py backfill --status            all of them, newest first
  manage.py backfill --cancel 7          stop number 7; what it wanted is then asked for by REST
  manage.py backfill --retry 7           begin number 7 anew; only what is missing still is brought

BINANCE_ARCHIVE_URL names the archive (default https://data.binance.vision). How it ended is the exit status: 0 done,
1 failed, cancelled or refused.
"""


def moment(text: str) -> dt.datetime:
    """A day or time, ISO 8601, UTC unless it says otherwise."""
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r} is no day or time such as 2024-01-31 or 2024-01-31T12:00") from error
    return found.replace(tzinfo=dt.UTC) if found.tzinfo is None else found.astimezone(dt.UTC)


class Command(BaseCommand):
    help = (
        "Bring a symbol's history from the exchange's public archive: trades and klines. Reads the archive and REST, "
        "writes raw_trades, prices-<interval> and dead_letters."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = _EXAMPLES
        parser.add_argument("symbol", nargs="?", help="e.g. BTCUSDT; watched, unless only klines are wanted")
        parser.add_argument("--from", dest="since", type=moment, metavar="TIME", help="first day or time, UTC")
        parser.add_argument("--to", type=moment, metavar="TIME", help="end, not included (default: what is held)")
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--trades-only", action="store_true", help="no klines")
        what.add_argument("--klines-only", action="store_true", help="no trades: for charts of symbols not watched")
        parser.add_argument("--with-1s", action="store_true", help="also the klines of 1s (86,400 rows a day)")
        parser.add_argument("--no-wait", action="store_true", help="queue it and return")
        others = parser.add_mutually_exclusive_group()
        others.add_argument("--status", action="store_true", help="show the backfills there are")
        others.add_argument("--cancel", type=int, metavar="NUMBER", help="cancel this one")
        others.add_argument("--retry", type=int, metavar="NUMBER", help="begin this one anew")

    def handle(self, *args: Any, **options: Any) -> None:
        console = Console(file=self.stdout._out, highlight=False)
        if options["status"]:
            console.print(_table(options["symbol"]))
        elif options["cancel"] is not None:
            self._say(store.cancel([options["cancel"]]), "Cancelled.", "There is no such backfill that is not over.")
        elif options["retry"] is not None:
            self._say(store.retry([options["retry"]]), "Queued again.", "There is no such backfill that is over.")
        else:
            row = _queue(options)
            console.print(f"Backfill {row.pk}: {row}.")
            if not options["no_wait"]:
                self._see_through(console, row)

    def _say(self, changed: int, done: str, nothing: str) -> None:
        if not changed:
            raise CommandError(f"{nothing} manage.py backfill --status lists them.")
        self.stdout.write(done)

    def _see_through(self, console: Console, row: Backfill) -> None:
        stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        with _progress(console) as bars:
            bar = bars.add_task(row.symbol, total=1.0, detail="", backfill=row)
            follow = look_on if settings.STREAMLOOM_MODE == "embedded" else _work
            row = follow(row, stop, lambda now: _show(bars, bar, now))
        if not row.is_over:
            console.print(f"It goes on in the background. manage.py backfill --status; --cancel {row.pk} ends it.")
        elif row.state != Backfill.State.DONE:
            raise CommandError(f"{row.state}: {row.error or 'by the operator'}")
        else:
            console.print(f"Done: {row.note}.")


def _queue(options: dict[str, Any]) -> Backfill:
    if not options["symbol"] or options["since"] is None:
        raise CommandError("Say which symbol and from when: manage.py backfill BTCUSDT --from 2024-01-01 (see --help)")
    name = options["symbol"].upper()
    if find(name) is None:
        raise CommandError(f"There is no symbol {name}; manage.py sync_symbols reads the exchange's list.")
    try:
        return store.queue(
            name,
            options["since"],
            options["to"],
            trades=not options["klines_only"],
            klines=not options["trades_only"],
            seconds=options["with_1s"],
        )
    except store.NotAllowed as problem:
        raise CommandError(f"Not possible: {problem}.") from problem


def look_on(row: Backfill, stop: threading.Event, show: Any) -> Backfill:
    """Look on while the process that holds the log does it."""
    while not stop.wait(_LOOK_S):
        row.refresh_from_db()
        if not row.is_over and not row.lease_token and not _somebody_works():
            row.note = "waits for the demo: nothing else may write to its log. Start it: manage.py demo"
        show(row)
        if row.is_over:
            break
    return row


def _work(row: Backfill, stop: threading.Event, show: Any) -> Backfill:
    """Do it here, slice by slice; while a worker has it, look on."""
    from ingestion.backfill.tasks import make_tools
    from ingestion.backfill.work import run_slice

    tools = make_tools()
    try:
        while not stop.is_set() and not row.is_over:
            leased = store.take(row.pk)
            if leased is not None:
                run_slice(tools, leased, _SLICE_S)
            row.refresh_from_db()
            show(row)
            if leased is None or row.retry_at is not None:
                stop.wait(_LOOK_S)
    finally:
        close_log()
    return row


def _somebody_works() -> bool:
    return Heartbeat.objects.filter(role="dispatch", beat_at__gt=clock.later(-_ALIVE)).exists()


class _Left(ProgressColumn):
    """Rows a second and the time that is left."""

    def render(self, task: Any) -> Text:
        row: Backfill = task.fields["backfill"]
        left = "" if row.eta_s is None else f", {dt.timedelta(seconds=round(row.eta_s))} left"
        return Text(f"{row.trades_sent + row.klines_sent:,} rows, {row.rate:,.0f}/s{left}")


def _progress(console: Console) -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        _Left(),
        TextColumn("{task.fields[detail]}", style="dim"),
        console=console,
    )


def _show(bars: Progress, bar: TaskID, row: Backfill) -> None:
    bars.update(bar, completed=row.progress, detail=row.error[:100] or row.note[:100], backfill=row)


def _table(symbol: str | None) -> Table:
    table = Table("no.", "symbol", "from", "to", "state", "done", "rows", "left", "what", box=None)
    rows = Backfill.objects.all() if symbol is None else Backfill.objects.filter(symbol=symbol.upper())
    for row in rows[:_SHOWN]:
        table.add_row(
            str(row.pk),
            row.symbol,
            f"{row.from_time:%Y-%m-%d %H:%M}",
            "" if row.to_time is None else f"{row.to_time:%Y-%m-%d %H:%M}",
            row.state,
            f"{100 * row.progress:.1f} %",
            f"{row.trades_sent + row.klines_sent:,}",
            "" if row.eta_s is None else str(dt.timedelta(seconds=round(row.eta_s))),
            row.error or row.note,
        )
    return table
