"""The beginning of a backfill: say in the log what is wanted, and learn what is missing of it."""

from typing import Final

from ingestion.backfill.held import Held, read_held
from ingestion.backfill.plan import INTERVALS, SECONDS, Plan, Step, needed_ids
from ingestion.backfill.shelf import Shelf
from ingestion.backfill.start import first_id_by_rest, first_id_in
from ingestion.backfill.tools import Later, Refused, Tools
from ingestion.binance.archive_files import TRADES
from ingestion.binance.archive_rows import BadArchive, open_lines
from ingestion.log.codec import to_record
from ingestion.log.room import processor_has_room
from ingestion.log.topics import RAW_TRADES
from ingestion.models import Backfill
from ingestion.pipeline.records import Cause, Want
from markets.selectors import find
from markets.types import DAY_MS, Interval

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
    first_id = None
    if held.open_segment is None or from_ms < held.open_segment.covered_from:
        row.note = "looks for the first trade"
        first_id = _first_id(tools, row.symbol, shelf, from_ms, now_ms)
        want = Want(row.symbol, first_id, from_ms, Cause.ARCHIVE, held.feed_time)
        tools.log.append(RAW_TRADES.name, [to_record(want)])
    needed = needed_ids(held.coverage, held.is_whole, first_id, from_ms, to_ms)
    return Plan(from_ms, to_ms, intervals, needed, held.feed_time, now_ms)


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


def _first_id(tools: Tools, symbol: str, shelf: Shelf, from_ms: int, now_ms: int) -> int:
    """Also fetches the first day, which is read next."""
    first = Step(TRADES, from_ms - from_ms % DAY_MS)
    found = shelf.find(first) if first.day + DAY_MS <= now_ms else None
    while found is not None:
        try:
            with open_lines(found.path) as lines:
                first_id = first_id_in(shelf.watched(lines), symbol, from_ms)
        except BadArchive as error:
            shelf.spoiled(found, error)
            found = shelf.find(first)
            continue
        if first_id is not None:
            return first_id
        break
    return first_id_by_rest(tools.rest, tools.archive, symbol, from_ms, now_ms)
