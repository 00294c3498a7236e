"""Which of several reports of one candle counts: the exchange tells it more than once, from several places. Pure."""

from collections.abc import Iterable

from ingestion.pipeline.records import Kline

# Running ones never, then rest before stream before archive.
_RANKS = {"rest": 3, "archive": 1}
_STREAM_RANK = 2
# No time in milliseconds needs so many bits; both together stay far below the 64 of the column.
_TIME_BITS = 48


def rank_of(kline: Kline) -> int:
    """The higher of two counts: closed before running, then by source, then the later one (it was asked again)."""
    source = _RANKS.get(kline.source, _STREAM_RANK) if kline.closed else 0
    return source << _TIME_BITS | max(kline.event_time, 0)


def best_reports(klines: Iterable[Kline]) -> dict[int, Kline]:
    """One closed kline per bucket by open time, from reports of one symbol and interval in the order they came in."""
    best: dict[int, Kline] = {}
    for kline in klines:
        held = best.get(kline.open_time)
        if kline.closed and (held is None or rank_of(kline) >= rank_of(held)):
            best[kline.open_time] = kline
    return best
