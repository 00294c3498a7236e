"""How candles that differ from the exchange's own are told to people: a metric, and lines that name them."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import structlog

from analytics import metrics
from ingestion.pipeline.records import Candle

_log = structlog.get_logger(__name__)

# A hole of a day disputes a thousand minutes: the first lines say what it is about.
_MOST_LINES: Final = 5


class Dispute(NamedTuple):
    """A candle, and {field: [ours, the exchange's]}."""

    candle: Candle
    difference: Mapping[str, Sequence[str]] | None


def report(found: Sequence[Dispute]) -> None:
    """Count and log comparisons that failed, those of one batch."""
    for candle, _ in found:
        metrics.DISPUTED.labels(candle.interval).inc()
    for candle, difference in found[:_MOST_LINES]:
        _log.warning(
            "a candle differs from the exchange's own",
            symbol=candle.symbol,
            interval=candle.interval,
            open_time=candle.open_time,
            fields=dict(difference or {}),
            in_this_batch=len(found),
            hint="ingest_klines asks for the kline of a disputed candle again; if it stays so, run audit for that day",
        )
