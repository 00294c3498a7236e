"""One slice of one backfill: seconds of work, after which everything it did is in the log and in its row.

A kill at any line is harmless. Rows are appended first and the place moves after them: what is repeated then is
dropped by the processor (trades) or replaces itself (klines).
"""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import structlog

from ingestion.backfill import metrics, store
from ingestion.backfill.decide import decide
from ingestion.backfill.plan import Plan, Step
from ingestion.backfill.shelf import Found, Place, Shelf
from ingestion.backfill.tools import Later, Refused, TimeIsUp, Tools
from ingestion.binance.archive_files import TRADES, ArchiveFile, candidates
from ingestion.binance.archive_lines import BadArchive, Line
from ingestion.binance.archive_rows import parse_kline, parse_trade
from ingestion.binance.errors import ExchangeBusy, ExchangeError, RegionRefused
from ingestion.log.codec import to_record
from ingestion.log.room import processor_has_room, sink_has_room
from ingestion.log.topics import DEAD_LETTERS, PRICES, RAW_TRADES
from ingestion.models import Backfill
from ingestion.pipeline.records import DeadLetter, Kline, Rejected, Trade
from markets.types import DAY_MS, Interval

logger = structlog.get_logger(__name__)

# One append: small enough that live trades wait for milliseconds only.
_CHUNK: Final = 2_000
_PAUSE_S: Final = 0.02
_KEEP_EVERY_S: Final = 1.0
# A file of garbage must not fill the dead letters.
_MOST_BAD_ROWS: Final = 1_000
# REST's newest klines may still lack trades.
_SETTLED_MS: Final = 60_000
_REST_ROWS: Final = 1_000


def run_slice(tools: Tools, row: Backfill, budget_s: float) -> None:
    """Work on a leased row for so long, and give it back. What fails is kept in the row and tried again later."""
    until_s = tools.monotonic() + budget_s
    try:
        _run(tools, row, lambda: tools.monotonic() < until_s)
    except store.Stopped:
        _clear(tools, row)
        logger.info("backfill_stopped", backfill=row.pk, symbol=row.symbol)


def _run(tools: Tools, row: Backfill, go_on: Callable[[], bool]) -> None:
    try:
        _Slice(tools, row, go_on).run()
    except TimeIsUp:
        store.release(row)
    except Later as later:
        store.wait(row, later.seconds, later.note)
    except ExchangeBusy as busy:
        store.wait(row, busy.retry_after_s, f"the exchange asks for a pause of {busy.retry_after_s:.0f} s")
    except Refused as refused:
        logger.warning("backfill_refused", backfill=row.pk, symbol=row.symbol, why=str(refused))
        _clear(tools, row)
        store.finish(row, str(refused))
    except store.Stopped:
        raise
    except Exception as error:  # noqa: BLE001 - the top of a slice: whatever failed is kept, shown and tried again
        _stumble(tools, row, error)


def _folder_of(tools: Tools, row: Backfill) -> Path:
    return tools.folder / f"backfill-{row.pk}"


def _clear(tools: Tools, row: Backfill) -> None:
    """A month's file may have gigabytes: nothing of it stays. What is needed after all is fetched again."""
    shutil.rmtree(_folder_of(tools, row), ignore_errors=True)


def _stumble(tools: Tools, row: Backfill, error: Exception) -> None:
    metrics.FAILURES.inc()
    delay_s = store.give_up(row, f"{type(error).__name__}: {error}", tools.rng.random())
    hint = "it goes on by itself where it was; is BINANCE_ARCHIVE_URL right, is there room on the disk?"
    if isinstance(error, RegionRefused):
        hint = "set BINANCE_ARCHIVE_URL to an address that serves your region"
    logger.warning(
        "backfill_waits",
        backfill=row.pk,
        symbol=row.symbol,
        error=str(error),
        retry_in_s=round(delay_s, 1),
        hint=hint,
        exc_info=not isinstance(error, ExchangeError | OSError),
    )


@dataclass
class _Sorted:
    """Some lines: what is wanted of them, what cannot be used, and the place after the last one looked at."""

    items: list[Trade | Kline]
    letters: list[DeadLetter]
    offset: int
    is_past_the_day: bool = False


class _Slice:
    def __init__(self, tools: Tools, row: Backfill, go_on: Callable[[], bool]) -> None:
        self._tools, self._row, self._go_on = tools, row, go_on
        self._place = msgspec.convert(row.place or {}, Place)
        folder = _folder_of(tools, row)
        self._shelf = Shelf(tools.archive, row.symbol, folder, self._place, self._may_go_on, self._moved)
        self._began = self._kept_at = tools.monotonic()
        self._busy_before_s = row.busy_s

    def run(self) -> None:
        """Go on until the end, or until the time is up (TimeIsUp). However it ends, the row says how far it is."""
        try:
            self._run()
        finally:
            self._note_place()

    def _run(self) -> None:
        row = self._row
        if row.plan:
            plan = msgspec.convert(row.plan, Plan)
        else:
            plan = decide(self._tools, row, self._shelf)
            row.plan, row.total_steps = msgspec.to_builtins(plan), plan.steps
            self._moved()
            self._note_place()
            store.keep(row)
            logger.info("backfill_begins", backfill=row.pk, symbol=row.symbol, files=row.total_steps)
        while row.done_steps < row.total_steps:
            self._do(plan, plan.step(row.done_steps))
            row.done_steps, row.part, self._place.asked_to = row.done_steps + 1, 0.0, None
            self._moved()
            self._keep_now_and_then()
        self._finish()

    # --- one step ----------------------------------------------------------------------------------------

    def _do(self, plan: Plan, step: Step) -> None:
        if not plan.wants(step):
            return
        self._row.note = f"{step.data} of {_date(step.day)}"
        found = self._shelf.find(step) if plan.is_over(step) else None
        while found is not None:
            try:
                self._read(plan, step, found)
                self._shelf.used(found)
                return
            except BadArchive as error:
                self._shelf.spoiled(found, error)
                found = self._shelf.find(step)
        self._without_file(plan, step)

    def _read(self, plan: Plan, step: Step, found: Found) -> None:
        bad = 0
        with self._tools.bookmarks.lines(found.path) as lines:
            # As many lines at a time whether they are wanted or not: a month may begin with millions that are not.
            while batch := lines.read(self._place.offset, _CHUNK, self._spend):
                sorted_out = self._sort(plan, step, found.file, batch)
                bad += len(sorted_out.letters)
                if bad > _MOST_BAD_ROWS:
                    raise BadArchive(f"{found.file.name}: more than {_MOST_BAD_ROWS} rows that cannot be used")
                self._send(step, sorted_out)
                if sorted_out.is_past_the_day:
                    return

    def _sort(self, plan: Plan, step: Step, file: ArchiveFile, batch: list[Line]) -> "_Sorted":
        found = _Sorted([], [], self._place.offset)
        now_ms = self._tools.wall_ms()
        for line in batch:
            item = self._parse(step, line, now_ms)
            if isinstance(item, Rejected):
                found.letters.append(self._letter(plan, item, file, line))
            else:
                time_ms = item.trade_time if isinstance(item, Trade) else item.open_time
                if file.is_monthly and time_ms >= step.day + DAY_MS:
                    found.is_past_the_day = True
                    break
                if self._is_wanted(plan, step, file, item, time_ms):
                    found.items.append(item)
            found.offset = line.end
        return found

    def _parse(self, step: Step, line: Line, now_ms: int) -> Trade | Kline | Rejected:
        if step.data == TRADES:
            return parse_trade(line.text, self._row.symbol, now_ms)
        return parse_kline(line.text, self._row.symbol, step.data)

    @staticmethod
    def _is_wanted(plan: Plan, step: Step, file: ArchiveFile, item: Trade | Kline, time_ms: int) -> bool:
        if isinstance(item, Kline):
            return step.day <= time_ms < plan.to_ms
        # A month begins with days that were read from files of their own. The trade before the first minute is wanted.
        is_earlier = file.is_monthly and time_ms < step.day
        return plan.needs(item.trade_id) and not (is_earlier and item.trade_id != plan.needed[0].from_id)

    def _send(self, step: Step, found: "_Sorted") -> None:
        """Append, then move the place. Raises TimeIsUp: before, and nothing of it is done, or after, unless it was the
        last of the day: a slice that only learns this again would never come further."""
        if found.letters:
            self._tools.log.append(DEAD_LETTERS.name, [to_record(letter) for letter in found.letters])
            self._row.bad_rows += len(found.letters)
        if found.items:
            self._append(step, found.items)
        if found.offset > self._place.offset:
            self._moved()
        self._place.offset = found.offset
        self._place.rows += len(found.items)
        if not found.is_past_the_day:
            self._spend()

    def _append(self, step: Step, chunk: list[Trade | Kline]) -> None:
        topic = RAW_TRADES.name if step.data == TRADES else PRICES[step.data].name
        self._wait_for_room(topic)
        self._tools.log.append(topic, [to_record(item) for item in chunk])
        self._count(step, chunk)

    def _count(self, step: Step, chunk: list[Trade | Kline]) -> None:
        metrics.ROWS.labels(step.data).inc(len(chunk))
        last = chunk[-1]
        if isinstance(last, Trade):
            self._row.trades_sent += len(chunk)
            self._row.part = min(1.0, max(0.0, (last.trade_time - step.day) / DAY_MS))
        else:
            self._row.klines_sent += len(chunk)

    def _wait_for_room(self, topic: str) -> None:
        log, symbol = self._tools.log, self._row.symbol
        while not (processor_has_room(log, symbol) if topic == RAW_TRADES.name else sink_has_room(log, topic, symbol)):
            metrics.WAITS.inc()
            self._tools.pause(_PAUSE_S)
            self._spend()

    def _letter(self, plan: Plan, rejected: Rejected, file: ArchiveFile, line: Line) -> DeadLetter:
        metrics.BAD_ROWS.labels(rejected.reason).inc()
        origin = f"{file.path} before byte {line.end}"
        return DeadLetter(
            rejected.reason, rejected.detail[:500], origin, rejected.frame, plan.feed_time, self._row.symbol
        )

    # --- what the archive does not have --------------------------------------------------------------------

    def _without_file(self, plan: Plan, step: Step) -> None:
        """Trades are left to the repair, which asks REST; klines are asked for here, page by page."""
        if self._place.asked_to is None:
            self._place.asked_to = max(step.day, plan.from_ms)
            self._note_absence(plan, step)
        if step.data == TRADES:
            return
        end = min(step.day + DAY_MS, plan.to_ms)
        while self._place.asked_to < end:
            self._place.asked_to = self._ask(plan, step, self._place.asked_to, end)
            self._moved()
            self._spend()

    def _note_absence(self, plan: Plan, step: Step) -> None:
        if plan.is_over(step):
            daily, _ = candidates(self._row.symbol, step.data, step.day)
            metrics.FILES.labels("absent").inc()
            store.note_absent(self._row, daily.name)
            logger.info("archive_file_absent", file=daily.name, then="what is missing is asked for by REST")

    def _ask(self, plan: Plan, step: Step, open_time: int, end: int) -> int:
        """Bring one page of klines that REST has; where the next one begins."""
        rows = self._tools.rest.klines(
            self._row.symbol, step.data, start_time=open_time, end_time=end - 1, limit=_REST_ROWS
        )
        settled = [
            msgspec.structs.replace(row, recheck=True, event_time=plan.over_at)
            for row in rows
            if row.close_time + _SETTLED_MS < plan.over_at
        ]
        if settled:
            self._append(step, [*settled])
        return Interval(step.data).next_open(rows[-1].open_time) if len(rows) == _REST_ROWS else end

    # --- keeping ---------------------------------------------------------------------------------------------

    def _spend(self) -> None:
        if not self._may_go_on():
            raise TimeIsUp

    def _moved(self) -> None:
        store.moved(self._row)

    def _may_go_on(self) -> bool:
        self._keep_now_and_then()
        return self._go_on()

    def _keep_now_and_then(self) -> None:
        now_s = self._tools.monotonic()
        if now_s - self._kept_at >= _KEEP_EVERY_S:
            self._kept_at = now_s
            self._note_place()
            store.keep(self._row)

    def _note_place(self) -> None:
        self._row.place = msgspec.to_builtins(self._place)
        self._row.bad_files = len(self._place.bad)
        self._row.busy_s = self._busy_before_s + self._tools.monotonic() - self._began

    def _finish(self) -> None:
        row = self._row
        self._note_place()
        _clear(self._tools, row)
        row.note = _summary(row)
        error = ""
        if row.bad_files:
            error = f"These files could not be used: {', '.join(self._place.bad)}. What they lack is asked for by REST."
        store.finish(row, error)
        logger.info("backfill_done", backfill=row.pk, symbol=row.symbol, result=row.note, error=error)


def _summary(row: Backfill) -> str:
    parts = [f"{row.trades_sent:,} trades, {row.klines_sent:,} klines"]
    if row.absent_count:
        parts.append(f"{row.absent_count} files are not in the archive: the rest is asked for by REST")
    if row.bad_rows:
        parts.append(f"{row.bad_rows} rows could not be used (dead letters)")
    return "; ".join(parts)


def _date(day_ms: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(day_ms / 1000))
