"""The 1s candles: folded from trades by the pipeline's own fold, when they are asked for."""

from collections.abc import Iterable, Iterator

from analytics.reading import minutes, trades
from analytics.reading.known import KnownCandle
from analytics.reading.minutes import Span, Wish
from analytics.reading.view import Clock, Snapshot
from ingestion.pipeline.coverage import is_covered
from ingestion.pipeline.records import Enriched
from ingestion.pipeline.window import empty_candle, fold
from markets.types import MINUTE_MS, SECOND_MS, Interval

# A frame may come this long after its trade (DESIGN section 6, Closing): then nothing more can come.
LATEST_FRAME_MS = 3_000


def closed_to(known: Snapshot, clock: Clock) -> int:
    """The end of the last second for which nothing more can come."""
    quiet = Interval.S1.open_of(max(clock.feed_time - LATEST_FRAME_MS, 0))
    ends = [clock.closed_to, quiet]
    newest = known.live.last_trade_time if known.live is not None else None
    if newest is not None and not any(gap.touches(clock.closed_to, newest) for gap in known.coverage.gaps):
        # Ids and times rise together: a trade past the end, and no id missing before it.
        ends.append(Interval.S1.open_of(newest))
    return max(ends)


def wished(known: Snapshot, clock: Clock, wish: Wish) -> list[KnownCandle]:
    """The 1s candles of a wish, oldest first."""
    found: list[KnownCandle] = []
    for chunk in minutes.chunks(wish, lambda: _extent(known, clock)):
        part = list(_in(known, clock, chunk, wish))
        found = [*part, *found] if wish.newest else [*found, *part]
        if len(found) >= wish.limit:
            break
    return found[-wish.limit :] if wish.newest else found[: wish.limit]


def close_before(known: Snapshot, time_ms: int) -> int | None:
    """The price of the last trade before a time."""
    last = trades.last_before(known.symbol, time_ms, known.unsunk_trades, known.as_of)
    return None if last is None else last.trade.price


def _extent(known: Snapshot, clock: Clock) -> Span | None:
    stored = minutes.extent(known.symbol)
    starts = [item.trade.trade_time for item in known.unsunk_trades[:1]]
    starts += [] if stored is None else [stored.start]
    return Span(min(starts), clock.feed_time + 1) if starts else None


def _in(known: Snapshot, clock: Clock, span: Span, wish: Wish) -> Iterator[KnownCandle]:
    held = trades.between(known.symbol, span, known.unsunk_trades, known.as_of)
    candles = {c.open_time: c for c in fold((item.trade for item in held), Interval.S1)}
    known_at = _known_at(held)
    closed = closed_to(known, clock)
    empties = _quiet_seconds(known, clock, span) if wish.with_empty else ()
    for open_time in sorted({*candles, *empties}):
        candle = candles.get(open_time) or empty_candle(known.symbol, Interval.S1, open_time, 0)
        yield KnownCandle(
            candle,
            known_at=known_at.get(open_time, open_time + SECOND_MS),
            forming=open_time >= closed,
        )


def _known_at(held: Iterable[Enriched]) -> dict[int, int]:
    newest: dict[int, int] = {}
    for item in held:
        second = Interval.S1.open_of(item.trade.trade_time)
        newest[second] = max(newest.get(second, 0), item.known_at)
    return newest


def _quiet_seconds(known: Snapshot, clock: Clock, span: Span) -> Iterator[int]:
    """The seconds of known minutes that lie in a segment: without a trade they are empty, not unknown."""
    reach = Span(Interval.M1.open_of(span.start), span.end)
    rows = minutes.wished(known, Wish(Interval.M1, reach, 2**31, forming=True))
    for row in rows:
        first = max(row.open_time, minutes.first_open(Interval.S1, span.start))
        last = min(row.open_time + MINUTE_MS, span.end, clock.feed_time + 1)
        for second in range(first, last, SECOND_MS):
            if is_covered(known.coverage, second, min(second + SECOND_MS, clock.feed_time), clock.feed_time):
                yield second
