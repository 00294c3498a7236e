"""Buckets above the minute: what is kept merged, and the exchange's own, beside the stored minutes. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec

from analytics.audit.findings import Check, Difference, Dispute, Remedy
from analytics.audit.minutes import unequal
from ingestion.pipeline.records import Candle, Kline
from ingestion.pipeline.verdict import compare
from ingestion.pipeline.window import roll_up
from markets.types import Interval

# Kept merged (1h, 1d), and compared with the exchange's.
CHECKED: Final = (Interval.M15, Interval.H1, Interval.D1)


class Bucket(msgspec.Struct, frozen=True):
    """A bucket that has ended: ``merged`` from its stored minutes, ``stored`` as it is kept, ``kline`` as the exchange
    reports it; each None where there is none.

    ``whole``: it is covered, and no missing id can belong to it; ``waits``: something of it is still to be done.
    """

    symbol: str
    interval: Interval
    open_time: int
    merged: Candle | None
    stored: Candle | None
    kline: Kline | None
    whole: bool
    waits: bool


def merged(minutes: Iterable[Candle], interval: Interval) -> Mapping[int, Candle]:
    """The buckets of the minutes, by open time."""
    return {candle.open_time: candle for candle in roll_up(list(minutes), interval)}


def differences(bucket: Bucket) -> Iterator[Difference]:
    """What is wrong with what is kept. A bucket that is not kept is merged when it is read: nothing is wrong."""
    if bucket.waits or bucket.stored is None:
        return
    if bucket.merged is None:
        yield _told(bucket, "it is kept merged, but none of its minutes is stored", Remedy.NONE)
    elif fields := unequal(bucket.stored, bucket.merged):
        yield _told(bucket, "what is kept merged is not what its minutes make", Remedy.ROLL_UP, fields)


def dispute(bucket: Bucket) -> Dispute | None:
    """Where a whole bucket differs from the exchange's, which readers are told as ``disputed``."""
    if bucket.waits or not bucket.whole or bucket.merged is None or bucket.kline is None:
        return None
    fields = compare(bucket.merged, bucket.kline)
    return Dispute(bucket.interval.value, bucket.open_time, fields) if fields else None


def _told(bucket: Bucket, what: str, remedy: Remedy, fields: dict[str, list[str]] | None = None) -> Difference:
    return Difference(
        Check.ROLL_UPS, bucket.symbol, what, remedy, bucket.interval.value, bucket.open_time, fields=fields
    )
