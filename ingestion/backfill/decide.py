"""The beginning of a backfill: say in the log what is wanted, and learn what is missing of it."""

from typing import Final

from ingestion.backfill.held import Held, read_held
from ingestion.backfill.plan import INTERVALS, SECONDS, Plan, Step, needed_ids
from ingestion.backfill.shelf import Shelf
from ingestion.backfill.start import first_id_by_rest, first_trades_in
from ingestion.backfill.tools import Later, Refused, Tools
from ingestion.binance.archive_files import TRADES
from ingestion.binance.archive_lines import ArchiveLines, BadArchive
from ingestion.log.codec import to_record
from ingestion.log.room import processor_has_room
from ingestion.log.topics import RAW_TRADES
from ingestion.models import Backfill
from ingestion.pipeline.records import Cause, Trade, Want
from markets.selectors import find
from markets.types import DAY_MS, MINUTE_MS, Interval

_WAIT_S: Final = 2.0


def decide(tools: Tools, row: Backfill, shelf: Shelf) -> Plan:
    """What the backfill does. Killed after its `want` it decides the same again.

    Raises Refused, Later, TimeIsUp, and what the exchange and the archive raise.
    """
    now_ms = tools.rest.server_time()
    from_ms = Interval.M1.open_of(int(row.from_time.timestamp() * 1000))
    asked_to = None if row.to_time is None else min(now_ms, int(row.to_time.timestamp() * 1000))
    if from_ms >= now_ms:
        raise Refused("The time to begin at has not come yet, by the exchange's clock.")
    intervals = ((SECONDS,) if row.seconds else ()) + (INTERVALS if row.klines else ())
    if not row.trades:
        return Plan(from_ms, asked_to or now_ms, intervals, (), now_ms, now_ms)
    held = _held(tools, row.symbol)
    to_ms = end_of(held, from_ms, asked_to, now_ms)
    first_id, day_before = None, _lacks_its_first(held, from_ms)
    if held.open_segment is None or from_ms < held.open_segment.covered_from:
        row.note = "looks for the first trade"
        first_id, day_before = _first_id(tools, row.symbol, shelf, from_ms, now_ms)
        want = Want(row.symbol, first_id, from_ms, Cause.ARCHIVE, held.feed_time)
        tools.log.append(RAW_TRADES.name, [to_record(want)])
    needed = needed_ids(held.coverage, held.is_whole, first_id, from_ms - day_before * DAY_MS, to_ms)
    return Plan(from_ms, to_ms, intervals, needed, held.feed_time, now_ms, day_before)


def _lacks_its_first(held: Held, from_ms: int) -> bool:
    """True when the first id of the holdings is missing, which may be of the day before their first minute: a kill came
    between the `want` and the plan, or its file was absent."""
    segment, gaps = held.open_segment, held.coverage.gaps
    is_first_day = segment is not None and from_ms <= segment.covered_from
    return is_first_day and any(gap.from_id == segment.from_id for gap in gaps[:1])


def end_of(held: Held, from_ms: int, asked_to: int | None, now_ms: int) -> int:
    """Where the time ends that is brought (epoch ms, not included).

    Holdings leave no time out: what lies between the asked end and what is held is brought, too.
    """
    segment = held.open_segment
    if segment is not None and from_ms < segment.covered_from:
        return max(asked_to or 0, segment.covered_from)
    if asked_to is not None:
        return asked_to
    return min(now_ms, max((gap.to_time + 1 for gap in held.coverage.gaps), default=now_ms))


def _held(tools: Tools, name: str) -> Held:
    symbol = find(name)
    if symbol is None or not symbol.trades_enabled:
        raise Refused(
            f"{name} is not watched, and trades are kept of watched symbols only: "
            "switch it on in the admin (Symbols, Watch trades) and retry, or ask for its klines only."
        )
    held = read_held(tools.log, name)
    if not held.has_started:
        raise Later(_WAIT_S, "waits until ingest_trades has begun with the symbol")
    if not processor_has_room(tools.log, name):
        raise Later(_WAIT_S, "waits until the processor has room")
    return held


def _first_id(tools: Tools, symbol: str, shelf: Shelf, from_ms: int, now_ms: int) -> tuple[int, bool]:
    """The first id to hold: of the trade before the first minute, because that one gives its price when it is empty.

    True when that is a trade of the day before. Also fetches the first day, which is read next.
    """
    day = from_ms - from_ms % DAY_MS
    before, first = _trades(shelf, symbol, Step(TRADES, day), from_ms, now_ms)
    if before is not None:
        return before.trade_id, False
    if first is not None and first.trade_time >= from_ms + MINUTE_MS:
        earlier, _ = _trades(shelf, symbol, Step(TRADES, day - DAY_MS), from_ms, now_ms)
        if earlier is not None:
            return earlier.trade_id, True
    if first is not None:
        return first.trade_id, False
    return first_id_by_rest(tools.rest, tools.archive, symbol, from_ms, now_ms), False


def _trades(shelf: Shelf, symbol: str, step: Step, from_ms: int, now_ms: int) -> tuple[Trade | None, Trade | None]:
    found = shelf.find(step) if step.day + DAY_MS <= now_ms else None
    while found is not None:
        try:
            return first_trades_in(shelf.watched(ArchiveLines(found.path)), symbol, from_ms)
        except BadArchive as error:
            shelf.spoiled(found, error)
            found = shelf.find(step)
    return None, None
