"""A candle with what is known of it, and the one derivation of state, missing and close time.

REST and sockets both answer ``candle_json(derive(...))``, so they can never disagree (DESIGN section 6,
Versions and Verdicts).
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import msgspec

from analytics.reading.view import Clock
from ingestion.pipeline.coverage import SymbolCoverage, is_covered, missing_ids, overlaps_segment
from ingestion.pipeline.coverage import touching as spans_touching
from ingestion.pipeline.records import Candle, CandleRecord, Kline
from ingestion.pipeline.verdict import compare, state_of
from ingestion.pipeline.window import empty_candle, merge, volatility, vwap
from markets.types import MINUTE_MS, Interval, to_text

FORMING: Final = "forming"
CERTIFIED: Final = "certified"
PARTIAL: Final = "partial"
DISPUTED: Final = "disputed"
CLOSED: Final = "closed"
EXCHANGE: Final = "exchange"

# A trade that was fetched later is in the larger candle only when its minute was made again and stored.
_SETTLING_MS: Final = MINUTE_MS
_NEWEST_REPAIRED: Final = 100


class KnownCandle(msgspec.Struct, frozen=True):
    """A candle, and what its minutes say of it. Finer ones join into larger ones.

    ``minutes``: how many 1m candles are in it, ``certified`` how many of them carry the verdict for their
    revision; ``disputed``: the open times of those that differ. ``excused``: the ids inside that are
    in no candle and are not missing (declared invalid). ``known_at``: when its newest version became known (null: now).
    ``close_time``: the exchange's, when its kline is known. ``kline``: the exchange's own candle of this very bucket,
    for intervals other than 1m (a minute's verdict is a record).
    """

    candle: Candle
    minutes: int = 1
    certified: int = 0
    disputed: tuple[int, ...] = ()
    difference: dict[str, list[str]] | None = None
    excused: int = 0
    known_at: int | None = None
    close_time: int | None = None
    forming: bool = False
    kline: Kline | None = None

    @property
    def open_time(self) -> int:
        return self.candle.open_time


class CandleView(msgspec.Struct, frozen=True):
    """A candle as readers see it. ``missing`` is null outside every segment; ``difference`` of a disputed one."""

    candle: Candle
    state: str
    missing: int | None
    close_time: int
    known_at: int | None
    difference: dict[str, list[str]] | None = None
    disputed_minutes: tuple[int, ...] = ()

    @property
    def open_time(self) -> int:
        return self.candle.open_time


# --- making and merging -----------------------------------------------------------------------------


def of_record(record: CandleRecord) -> KnownCandle:
    """The minute as a record of ``candles_1m`` tells it."""
    certified = record.state == CERTIFIED
    disputed = record.state == DISPUTED
    return KnownCandle(
        record.candle,
        certified=int(certified),
        disputed=(record.candle.open_time,) if disputed else (),
        difference=record.difference if disputed else None,
        # The processor knows what is held: what it does not miss was declared invalid.
        excused=own_missing(record.candle) if certified or record.missing == 0 else 0,
        known_at=record.known_at,
    )


def of_forming(candle: Candle) -> KnownCandle:
    """A minute that is not closed yet."""
    return KnownCandle(candle, minutes=0, forming=True)


def newest(versions: Iterable[KnownCandle]) -> dict[int, KnownCandle]:
    """One version of each bucket by open time: the higher revision, then the later one that has a verdict.

    ``versions`` are in the order in which they were written. A record without a verdict takes none away
    from the same revision, and a verdict leaves it known since its first record.
    """
    best: dict[int, KnownCandle] = {}
    for version in versions:
        held = best.get(version.open_time)
        if held is None or version.candle.revision > held.candle.revision:
            best[version.open_time] = version
        elif _replaces(version, held):
            best[version.open_time] = msgspec.structs.replace(version, known_at=held.known_at)
    return best


def _replaces(version: KnownCandle, held: KnownCandle) -> bool:
    if version.candle.revision != held.candle.revision:
        return version.candle.revision > held.candle.revision
    return bool(version.certified or version.disputed) or not (held.certified or held.disputed)


def join(parts: Iterable[KnownCandle], interval: Interval) -> list[KnownCandle]:
    """Finer candles merged into ``interval``, oldest first. No two parts hold the same minute.

    Parts that are of the interval already are merged as well (a bucket so far, and one more minute of it).
    """
    joined: dict[int, KnownCandle] = {}
    for part in sorted(parts, key=lambda item: item.open_time):
        open_time = interval.open_of(part.open_time)
        so_far = joined.get(open_time)
        joined[open_time] = _lift(part, open_time, interval) if so_far is None else merge_known(so_far, part)
    return [joined[open_time] for open_time in sorted(joined)]


def _lift(part: KnownCandle, open_time: int, interval: Interval) -> KnownCandle:
    if part.candle.interval == interval.value:
        return part
    candle = msgspec.structs.replace(part.candle, open_time=open_time, interval=interval.value)
    # The minute's close time, difference and kline say nothing of the larger bucket.
    return msgspec.structs.replace(part, candle=candle, close_time=None, difference=None, kline=None)


def merge_known(left: KnownCandle, right: KnownCandle) -> KnownCandle:
    """Both together, under the left one's open time and interval; they share no minute."""
    times = [known.known_at for known in (left, right) if known.known_at is not None]
    return KnownCandle(
        merge(left.candle, right.candle),
        minutes=left.minutes + right.minutes,
        certified=left.certified + right.certified,
        disputed=(*left.disputed, *right.disputed),
        excused=left.excused + right.excused,
        known_at=max(times, default=None),
        close_time=left.close_time,
        forming=left.forming or right.forming,
    )


def with_kline(known: KnownCandle, kline: Kline, newest_id: int | None) -> KnownCandle:
    """The candle beside the exchange's own of the same bucket. ``newest_id``: the newest trade that is held.

    A kline that counts more fills than we, when nothing newer than ours is held, is ahead of its trades: it is
    not compared before they have come.
    """
    candle = known.candle
    is_ahead = kline.trades > candle.trades and newest_id is not None and newest_id == candle.last_trade_id
    return msgspec.structs.replace(known, close_time=kline.close_time, kline=None if is_ahead else kline)


def own_missing(candle: Candle) -> int:
    """How many ids between its first and its last are in no trade of the candle."""
    if candle.first_trade_id is None or candle.last_trade_id is None:
        return 0
    return candle.last_trade_id - candle.first_trade_id + 1 - candle.agg_trades


def fill_prices(candles: Sequence[KnownCandle], previous_close: int | None) -> Iterator[KnownCandle]:
    """The same candles in order, the empty ones flat at the last close before them.

    ``previous_close``: of the last candle with trades before the first. Where there is none, what the empty
    candle was stored with stands; with no price at all it is left out.
    """
    close = previous_close
    for known in candles:
        candle = known.candle
        if candle.agg_trades:
            close = candle.close
        elif close is not None and close != candle.close:
            flat = empty_candle(candle.symbol, Interval(candle.interval), candle.open_time, close)
            yield msgspec.structs.replace(known, candle=flat)
            continue
        elif not candle.close:
            continue
        yield known


# --- the derivation -----------------------------------------------------------------------------------


def derive(known: KnownCandle, coverage: SymbolCoverage, clock: Clock) -> CandleView | None:
    """The candle as readers see it now; None where it is unknown (no trade held, and a gap touches it)."""
    candle = known.candle
    interval = Interval(candle.interval)
    end = interval.next_open(candle.open_time)
    touching = missing_ids(coverage, candle.open_time, end)
    state = _state(known, coverage, clock, touching, interval, end)
    missing = _missing(known, coverage, end, touching, state)
    if not candle.agg_trades and missing and state != FORMING:
        return None
    is_disputed = state == DISPUTED
    return CandleView(
        candle,
        state,
        missing,
        known.close_time if known.close_time is not None else end - 1,
        known.known_at if known.known_at is not None else clock.feed_time,
        _difference(known) if is_disputed else None,
        known.disputed if is_disputed and interval is not Interval.M1 else (),
    )


def _difference(known: KnownCandle) -> dict[str, list[str]] | None:
    return known.difference if known.kline is None else compare(known.candle, known.kline)


def _state(
    known: KnownCandle, coverage: SymbolCoverage, clock: Clock, touching: int, interval: Interval, end: int
) -> str:
    open_time = known.candle.open_time
    if known.forming or (interval.width_ms or end) > MINUTE_MS and clock.closed_to < end:
        return FORMING
    covered = is_covered(coverage, open_time, end, max(clock.feed_time, end))
    if known.kline is not None:
        gap_touches = bool(spans_touching(coverage.gaps, open_time, end))
        state = state_of(known.candle, known.kline, gap_touches, covered)
        if state == DISPUTED and _is_settling(coverage, open_time, end, clock):
            return CLOSED
        if state != CLOSED or compare(known.candle, known.kline):
            return state
        # Equal to a kline that lacks fills itself: that proves nothing, so the minutes speak.
    if _is_certified(known, interval, end, touching):
        return CERTIFIED
    if not covered:
        return PARTIAL
    # With an open gap the difference is explained, and the verdict waits for the repair. A hole is never repaired.
    if known.disputed and not spans_touching(coverage.gaps, open_time, end):
        return DISPUTED
    return CLOSED


def _is_settling(coverage: SymbolCoverage, open_time: int, end: int, clock: Clock) -> bool:
    """True when trades of the bucket were fetched a moment ago: its minutes may not be made again yet."""
    lately = clock.feed_time - _SETTLING_MS
    newest = coverage.repaired[-_NEWEST_REPAIRED:]
    return any((span.closed_at or 0) >= lately and span.touches(open_time, end) for span in newest)


def _is_certified(known: KnownCandle, interval: Interval, end: int, touching: int) -> bool:
    if interval is Interval.M1:
        return known.certified == 1
    minutes, rest = divmod(end - known.candle.open_time, MINUTE_MS)
    return not rest and known.certified == minutes and not touching


def _missing(
    known: KnownCandle, coverage: SymbolCoverage, end: int, touching: int, state: str
) -> int | None:
    if state == CERTIFIED:
        return 0
    if not overlaps_segment(coverage, known.candle.open_time, end):
        return None
    return max(touching, own_missing(known.candle) - known.excused)


# --- the shape ------------------------------------------------------------------------------------------


def candle_json(view: CandleView) -> dict[str, Any]:
    """The candle exactly as API.md section 2 shows it."""
    candle = view.candle
    average = vwap(candle)
    shape = {
        "open_time": candle.open_time,
        "close_time": view.close_time,
        "open": to_text(candle.open),
        "high": to_text(candle.high),
        "low": to_text(candle.low),
        "close": to_text(candle.close),
        "volume": to_text(candle.volume),
        "quote_volume": to_text(candle.quote_volume),
        "trades": candle.trades,
        "taker_buy_volume": to_text(candle.taker_buy_volume),
        "taker_buy_quote_volume": to_text(candle.taker_buy_quote_volume),
        "vwap": None if average is None else to_text(average),
        "volatility": volatility(candle),
        "first_trade_id": candle.first_trade_id,
        "last_trade_id": candle.last_trade_id,
        "first_fill_id": candle.first_fill_id,
        "last_fill_id": candle.last_fill_id,
        "agg_trades": candle.agg_trades,
        "missing": view.missing,
        "revision": candle.revision,
        "state": view.state,
        "quote_rounding": to_text(candle.quote_rounding),
        "known_at": view.known_at,
    }
    if view.state == DISPUTED:
        shape["difference"] = view.difference or {}
        if view.disputed_minutes:
            shape["disputed_minutes"] = view.disputed_minutes
    return shape
