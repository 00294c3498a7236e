"""One slice of one backfill: seconds of work, after which everything it did is in the log and in its row.

A kill at any line is harmless. Rows are appended first and the place moves after them: what is repeated then is
dropped by the processor (trades) or replaces itself (klines).
"""

import random
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import msgspec
import structlog

from ingestion.backfill import metrics, store
from ingestion.backfill.held import Held, read_held
from ingestion.backfill.plan import INTERVALS, SECONDS, Plan, Step, needed_ids
from ingestion.backfill.start import Refused, Rest, first_id_by_rest, first_id_in
from ingestion.binance.archive import WrongChecksum
from ingestion.binance.archive_files import TRADES, ArchiveFile, candidates
from ingestion.binance.archive_rows import BadArchive, Line, open_lines, parse_kline, parse_trade
from ingestion.binance.errors import ExchangeBusy, ExchangeError, RegionRefused
from ingestion.log.codec import to_record
from ingestion.log.port import Log
from ingestion.log.room import processor_has_room, sink_has_room
from ingestion.log.topics import DEAD_LETTERS, PRICES, RAW_TRADES
from ingestion.models import Backfill
from ingestion.pipeline.records import DeadLetter, Kline, Rejected, Trade, Want
from markets.selectors import find
from markets.types import DAY_MS, Interval

logger = structlog.get_logger(__name__)

CAUSE: Final = "archive"
# One append: small enough that live trades wait for milliseconds only.
_CHUNK: Final = 2_000
_PAUSE_S: Final = 0.02
_KEEP_EVERY_S: Final = 1.0
# A file of garbage must not fill the dead letters.
_MOST_BAD_ROWS: Final = 1_000
_TRIES: Final = 3
_START_WAIT_S: Final = 2.0
_SPOILED_WAIT_S: Final = 20.0
# REST's newest klines may still lack trades.
_SETTLED_MS: Final = 60_000
_REST_ROWS: Final = 1_000


class ArchivePort(Protocol):
    """The archive as ``BinanceArchive`` has it. Raises ExchangeError."""

    def checksum(self, file: ArchiveFile) -> str | None: ...

    def has(self, file: ArchiveFile) -> bool: ...

    def fetch(self, file: ArchiveFile, checksum: str, folder: Path, go_on: Callable[[], bool]) -> Path | None: ...


@dataclass(frozen=True)
class Tools:
    """What a slice works with. ``folder``: where files are kept while they are read. ``pause`` waits that many s."""

    log: Log
    archive: ArchivePort
    rest: Rest
    folder: Path
    monotonic: Callable[[], float] = time.monotonic
    pause: Callable[[float], None] = time.sleep
    wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    rng: random.Random = field(default_factory=random.Random)


class Place(msgspec.Struct):
    """Where in a file the work is. ``offset``: in the unpacked text, after the last row in the log; ``tries``: how
    often a file was spoiled; ``bad``: files that are given up; ``months``: {name: (SHA-256, offset, rows)} of files
    of whole months, which are read a day at a time."""

    name: str = ""
    sha256: str = ""
    offset: int = 0
    rows: int = 0
    tries: int = 0
    bad: list[str] = []
    months: dict[str, tuple[str, int, int]] = {}


class Found(NamedTuple):
    """A file that is here and is what its checksum says."""

    file: ArchiveFile
    path: Path


class Later(Exception):
    """Nothing can be done for now."""

    def __init__(self, seconds: float, note: str) -> None:
        super().__init__(note)
        self.seconds, self.note = seconds, note


class TimeIsUp(Exception):
    """The slice has had its time; the next one goes on."""


def run_slice(tools: Tools, row: Backfill, budget_s: float) -> None:
    """Work on a leased row for so long, and give it back. What fails is kept in the row and tried again later."""
    began = tools.monotonic()
    worked_before_s = row.busy_s

    def count_time() -> None:
        row.busy_s = worked_before_s + tools.monotonic() - began

    try:
        _run(tools, row, lambda: tools.monotonic() - began < budget_s, count_time)
    except store.Stopped:
        logger.info("backfill_stopped", backfill=row.pk, symbol=row.symbol)


def _run(tools: Tools, row: Backfill, go_on: Callable[[], bool], count_time: Callable[[], None]) -> None:
    try:
        _Slice(tools, row, go_on, count_time).run()
    except TimeIsUp:
        count_time()
        store.release(row)
    except Later as later:
        store.wait(row, later.seconds, later.note)
    except ExchangeBusy as busy:
        store.wait(row, busy.retry_after_s, f"the exchange asks for a pause of {busy.retry_after_s:.0f} s")
    except Refused as refused:
        logger.warning("backfill_refused", backfill=row.pk, symbol=row.symbol, why=str(refused))
        store.finish(row, str(refused))
    except store.Stopped:
        raise
    except Exception as error:  # noqa: BLE001 - the top of a slice: whatever failed is kept, shown and tried again
        _stumble(tools, row, error)


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


class _Slice:
    def __init__(self, tools: Tools, row: Backfill, go_on: Callable[[], bool], count_time: Callable[[], None]) -> None:
        self._tools, self._row, self._go_on, self._count_time = tools, row, go_on, count_time
        self._place = msgspec.convert(row.place or {}, Place)
        self._plan: Plan | None = msgspec.convert(row.plan, Plan) if row.plan else None
        self._folder = tools.folder / f"backfill-{row.pk}"
        self._kept_at = tools.monotonic()

    def run(self) -> None:
        """Go on until the end, or until the time is up (TimeIsUp)."""
        row = self._row
        if self._plan is None:
            self._plan = self._decide()
            row.plan, row.total_steps = msgspec.to_builtins(self._plan), self._plan.steps
            logger.info("backfill_begins", backfill=row.pk, symbol=row.symbol, files=row.total_steps)
        while row.done_steps < row.total_steps:
            self._do(self._plan, self._plan.step(row.done_steps))
            row.done_steps, row.part = row.done_steps + 1, 0.0
            self._keep_now_and_then()
        self._finish()

    # --- the beginning ---------------------------------------------------------------------------------

    def _decide(self) -> Plan:
        """Say what is wanted, and learn what is missing of it."""
        row = self._row
        now_ms = self._tools.rest.server_time()
        from_ms = Interval.M1.open_of(int(row.from_time.timestamp() * 1000))
        asked_to = None if row.to_time is None else min(now_ms, int(row.to_time.timestamp() * 1000))
        if from_ms >= now_ms:
            raise Refused("The time to begin at has not come yet, by the exchange's clock.")
        intervals = ((SECONDS,) if row.seconds else ()) + (INTERVALS if row.klines else ())
        if not row.trades:
            return Plan(from_ms, asked_to or now_ms, intervals, (), now_ms, now_ms)
        held = self._held()
        segment = held.open_segment
        to_ms = _end(held, from_ms, asked_to, now_ms)
        first_id = None
        if segment is None or from_ms < segment.covered_from:
            first_id = self._first_id(from_ms, now_ms)
            self._tools.log.append(
                RAW_TRADES.name, [to_record(Want(row.symbol, first_id, from_ms, CAUSE, held.feed_time))]
            )
        needed = needed_ids(held.coverage, held.is_whole, first_id, from_ms, to_ms)
        return Plan(from_ms, to_ms, intervals, needed, held.feed_time, now_ms)

    def _held(self) -> Held:
        symbol = find(self._row.symbol)
        if symbol is None or not symbol.trades_enabled:
            raise Refused(
                f"{self._row.symbol} is not watched, and trades are kept of watched symbols only: "
                "switch it on in the admin (Symbols, Watch trades) and retry, or ask for its klines only."
            )
        held = read_held(self._tools.log, self._row.symbol)
        if not held.has_started:
            raise Later(_START_WAIT_S, "waits until ingest_trades has begun with the symbol")
        return held

    def _first_id(self, from_ms: int, now_ms: int) -> int:
        """Also downloads the first day, which is read next."""
        self._row.note = "looks for the first trade"
        first = Step(TRADES, from_ms - from_ms % DAY_MS)
        if first.day + DAY_MS <= now_ms and (found := self._find(first)) is not None:
            with open_lines(found.path) as lines:
                first_id = first_id_in(lines, self._row.symbol, from_ms)
            if first_id is not None:
                return first_id
        return first_id_by_rest(self._tools.rest, self._tools.archive, self._row.symbol, from_ms, now_ms)

    # --- files -----------------------------------------------------------------------------------------

    def _find(self, step: Step) -> Found | None:
        """The best file of the step's day, fetched and verified; None when the archive has none. Raises TimeIsUp."""
        for file in candidates(self._row.symbol, step.data, step.day):
            if file.name in self._place.bad:
                continue
            checksum = self._tools.archive.checksum(file)
            if checksum is None:
                continue
            path = self._fetch(file, checksum)
            if path is not None:
                self._turn_to(file, checksum)
                return Found(file, path)
        return None

    def _fetch(self, file: ArchiveFile, checksum: str) -> Path | None:
        try:
            path = self._tools.archive.fetch(file, checksum, self._folder, self._may_go_on)
        except FileNotFoundError:
            return None
        except WrongChecksum as error:
            metrics.FILES.labels("wrong_checksum").inc()
            self._spoiled(file, str(error))
            return None
        if path is None:
            raise TimeIsUp
        return path

    def _turn_to(self, file: ArchiveFile, checksum: str) -> None:
        """Go on in the file, or begin with it."""
        place = self._place
        if (place.name, place.sha256) == (file.name, checksum):
            return
        known, offset, rows = place.months.get(file.name, ("", 0, 0))
        if place.name == file.name:
            logger.warning("archive_file_replaced_meanwhile", file=file.name, sha256=checksum, before=place.sha256)
        if known != checksum:
            offset = rows = 0
        place.name, place.sha256, place.offset, place.rows = file.name, checksum, offset, rows

    def _spoiled(self, file: ArchiveFile, problem: str) -> None:
        """Fetch it again a little later (it may be in the making), but not for ever."""
        place = self._place
        place.tries += 1
        logger.warning("archive_file_spoiled", file=file.name, problem=problem, tries=place.tries, of=_TRIES)
        if place.tries < _TRIES:
            self._save_place()
            raise Later(_SPOILED_WAIT_S * place.tries, f"{problem}; it will be fetched again")
        place.tries, place.bad = 0, [*place.bad, file.name]
        self._row.bad_files += 1
        metrics.FILES.labels("bad").inc()

    def _used(self, found: Found) -> None:
        """All rows of the file that are wanted are in the log."""
        before = store.note_use(found.file.name, self._place.sha256, self._place.rows)
        if before:
            metrics.FILES.labels("replaced").inc()
            logger.warning(
                "archive_file_replaced",
                file=found.file.name,
                sha256=self._place.sha256,
                before=before,
                hint="the exchange has changed this file since it was used; manage.py audit tells whether it matters",
            )
        metrics.FILES.labels("used").inc()
        place = self._place
        if found.file.is_monthly:
            place.months[place.name] = (place.sha256, place.offset, place.rows)
        else:
            found.path.unlink(missing_ok=True)

    # --- one step ----------------------------------------------------------------------------------------

    def _do(self, plan: Plan, step: Step) -> None:
        if not plan.wants(step):
            return
        self._row.note = f"{step.data} of {_date(step.day)}"
        found = self._find(step) if plan.is_over(step) else None
        while found is not None:
            try:
                self._read(plan, step, found)
                self._used(found)
                return
            except BadArchive as error:
                found.path.unlink(missing_ok=True)
                self._spoiled(found.file, str(error))
                found = self._find(step)
        self._without_file(plan, step)

    def _read(self, plan: Plan, step: Step, found: Found) -> None:
        bad = 0
        chunk: list[Trade | Kline] = []
        letters: list[DeadLetter] = []
        offset = self._place.offset
        with open_lines(found.path, offset) as lines:
            for line, item in self._items(step, lines):
                if isinstance(item, Rejected):
                    bad += 1
                    if bad > _MOST_BAD_ROWS:
                        raise BadArchive(f"{found.file.name}: more than {_MOST_BAD_ROWS} rows that cannot be used")
                    letters.append(self._letter(plan, item, found.file, line))
                else:
                    time_ms = item.trade_time if isinstance(item, Trade) else item.open_time
                    if found.file.is_monthly and time_ms >= step.day + DAY_MS:
                        break
                    if self._is_wanted(plan, step, found.file, item, time_ms):
                        chunk.append(item)
                offset = line.end
                if len(chunk) >= _CHUNK or len(letters) >= _CHUNK:
                    self._send(step, chunk, letters, offset)
                    chunk, letters = [], []
            self._send(step, chunk, letters, offset, may_end=False)

    def _items(self, step: Step, lines: Iterator[Line]) -> Iterator[tuple[Line, Trade | Kline | Rejected]]:
        symbol = self._row.symbol
        if step.data == TRADES:
            now_ms = self._tools.wall_ms()
            return ((line, parse_trade(line.text, symbol, now_ms)) for line in lines)
        return ((line, parse_kline(line.text, symbol, step.data)) for line in lines)

    @staticmethod
    def _is_wanted(plan: Plan, step: Step, file: ArchiveFile, item: Trade | Kline, time_ms: int) -> bool:
        if isinstance(item, Kline):
            return step.day <= time_ms < plan.to_ms
        # A month begins with days that were read from files of their own. The trade before the first minute is wanted.
        is_earlier = file.is_monthly and time_ms < step.day
        return plan.needs(item.trade_id) and not (is_earlier and item.trade_id != plan.needed[0].from_id)

    def _send(
        self,
        step: Step,
        chunk: list[Trade | Kline],
        letters: list[DeadLetter],
        offset: int,
        *,
        may_end: bool = True,
    ) -> None:
        """Append, then move the place. The time may be up before (nothing of it is done) or after."""
        if letters:
            self._tools.log.append(DEAD_LETTERS.name, [to_record(letter) for letter in letters])
            self._row.bad_rows += len(letters)
        if chunk:
            self._append(step, chunk)
        self._place.offset = offset
        self._place.rows += len(chunk)
        self._keep_now_and_then()
        if may_end and not self._go_on():
            self._save_place()
            raise TimeIsUp

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
            if not self._may_go_on():
                self._save_place()
                raise TimeIsUp

    def _letter(self, plan: Plan, rejected: Rejected, file: ArchiveFile, line: Line) -> DeadLetter:
        metrics.BAD_ROWS.labels(rejected.reason).inc()
        origin = f"{file.path} before byte {line.end}"
        return DeadLetter(
            rejected.reason, rejected.detail[:500], origin, rejected.frame, plan.feed_time, self._row.symbol
        )

    # --- what the archive does not have --------------------------------------------------------------------

    def _without_file(self, plan: Plan, step: Step) -> None:
        """Trades are left to the repair, which asks REST; klines are asked for here."""
        if plan.is_over(step):
            daily, _ = candidates(self._row.symbol, step.data, step.day)
            metrics.FILES.labels("absent").inc()
            store.note_absent(self._row, daily.name)
            logger.info("archive_file_absent", file=daily.name, then="what is missing is asked for by REST")
        if step.data == TRADES:
            return
        interval = Interval(step.data)
        open_time, end = max(step.day, plan.from_ms), min(step.day + DAY_MS, plan.to_ms)
        while open_time < end:
            rows = self._tools.rest.klines(
                self._row.symbol, step.data, start_time=open_time, end_time=end - 1, limit=_REST_ROWS
            )
            settled = [
                msgspec.structs.replace(row, recheck=True)
                for row in rows
                if row.close_time + _SETTLED_MS < plan.over_at
            ]
            if settled:
                self._append(step, [*settled])
            if len(rows) < _REST_ROWS:
                return
            open_time = interval.next_open(rows[-1].open_time)

    # --- keeping ---------------------------------------------------------------------------------------------

    def _may_go_on(self) -> bool:
        self._keep_now_and_then()
        return self._go_on()

    def _keep_now_and_then(self) -> None:
        now_s = self._tools.monotonic()
        if now_s - self._kept_at >= _KEEP_EVERY_S:
            self._kept_at = now_s
            self._save_place()
            store.keep(self._row)

    def _save_place(self) -> None:
        self._count_time()
        self._row.place = msgspec.to_builtins(self._place)

    def _finish(self) -> None:
        row = self._row
        self._save_place()
        with suppress(OSError):
            shutil.rmtree(self._folder)
        row.note = _summary(row)
        error = ""
        if row.bad_files:
            error = f"These files could not be used: {', '.join(self._place.bad)}. What they lack is asked for by REST."
        store.finish(row, error)
        logger.info("backfill_done", backfill=row.pk, symbol=row.symbol, result=row.note, error=error)


def _end(held: Held, from_ms: int, asked_to: int | None, now_ms: int) -> int:
    """Where the time ends that is brought. Holdings leave no time out: what lies between the asked end and what is held
    is brought, too."""
    segment = held.open_segment
    if segment is not None and from_ms < segment.covered_from:
        return max(asked_to or 0, segment.covered_from)
    if asked_to is not None:
        return asked_to
    return min(now_ms, max((gap.to_time + 1 for gap in held.coverage.gaps), default=now_ms))


def _summary(row: Backfill) -> str:
    parts = [f"{row.trades_sent:,} trades, {row.klines_sent:,} klines"]
    if row.absent_count:
        parts.append(f"{row.absent_count} files are not in the archive: the rest is asked for by REST")
    if row.bad_rows:
        parts.append(f"{row.bad_rows} rows could not be used (dead letters)")
    return "; ".join(parts)


def _date(day_ms: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(day_ms / 1000))
