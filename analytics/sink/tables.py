"""Which topic goes to which tables: the catalogue of the sink. Pure."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pyarrow as pa

from analytics.reading.cursor import seq_of
from analytics.sink import marks, rows
from analytics.sink.marks import Mark, Minutes
from ingestion.log import codec, topics
from ingestion.log.port import Stored
from ingestion.pipeline.records import CandleReason, CandleRecord
from markets.types import Interval


class Read(NamedTuple):
    """A record that was read from the log and what it says."""

    stored: Stored
    record: Any


class Unread(NamedTuple):
    """A record that cannot be stored, and why."""

    stored: Stored
    detail: str


Blocks = dict[str, pa.Table]
_ONLY_VERDICTS = (CandleReason.VERDICT, CandleReason.RESTATED)


@dataclass(frozen=True, slots=True)
class Route:
    """How the records of one topic are read, stored, and what they make dirty.

    ``marks`` and ``spans`` hold what the records alone tell; the parents of candles need the store (``load``).
    """

    topic: str
    decode: Callable[[bytes], Any]
    why_unfit: Callable[[Any], str | None]
    blocks: Callable[[Sequence[Read], int], Blocks]
    marks: Callable[[Sequence[Any]], Iterable[Mark]] = lambda records: ()
    spans: Callable[[Sequence[Any]], Iterable[Minutes]] = lambda records: ()


def decode(route: Route, records: Sequence[Stored]) -> tuple[list[Read], list[Unread]]:
    """What can be stored, and what cannot with the reason; both in the order of the log."""
    good: list[Read] = []
    bad: list[Unread] = []
    for stored in records:
        try:
            record = route.decode(stored.value)
        except codec.Unreadable as error:
            bad.append(Unread(stored, str(error)))
            continue
        unfit = route.why_unfit(record)
        if unfit is None:
            good.append(Read(stored, record))
        else:
            bad.append(Unread(stored, unfit))
    return good, bad


def build(route: Route, reads: Sequence[Read], epoch: int) -> tuple[Blocks, list[Unread]]:
    """One block per table, and the records that no column can hold."""
    if not reads:
        return {}, []
    try:
        return route.blocks(reads, epoch), []
    except (ArithmeticError, ValueError, TypeError):
        good, bad = _try_each(route, reads, epoch)
        return (route.blocks(good, epoch) if good else {}), bad


def _try_each(route: Route, reads: Sequence[Read], epoch: int) -> tuple[list[Read], list[Unread]]:
    good: list[Read] = []
    bad: list[Unread] = []
    for read in reads:
        try:
            route.blocks([read], epoch)
        except (ArithmeticError, ValueError, TypeError) as error:
            bad.append(Unread(read.stored, str(error)))
        else:
            good.append(read)
    return good, bad


def _records(reads: Sequence[Read]) -> list[Any]:
    return [read.record for read in reads]


def _seqs(reads: Sequence[Read], epoch: int) -> list[int]:
    return [seq_of(epoch, read.stored.offset) for read in reads]


def _trade_blocks(reads: Sequence[Read], epoch: int) -> Blocks:
    return {"trades_enriched": rows.trade_rows(_records(reads))}


def _candle_blocks(reads: Sequence[Read], epoch: int) -> Blocks:
    blocks = {"candle_journal": rows.journal_rows(_records(reads), _seqs(reads, epoch))}
    # A verdict repeats a version that is stored already: its known_at must stay the time it became known.
    versions = [read.record for read in reads if read.record.reason not in _ONLY_VERDICTS]
    return blocks | ({"candles": rows.candle_rows(versions)} if versions else {})


def _kline_blocks(reads: Sequence[Read], epoch: int) -> Blocks:
    return {"klines": rows.kline_rows(_records(reads))}


def _coverage_blocks(reads: Sequence[Read], epoch: int) -> Blocks:
    return {"coverage_events": rows.coverage_rows(_records(reads), _seqs(reads, epoch))}


def _dead_letter_blocks(reads: Sequence[Read], epoch: int) -> Blocks:
    places = [(item.stored.topic, item.stored.partition, epoch, item.stored.offset) for item in reads]
    return {"dead_letters": rows.dead_letter_rows(_records(reads), places)}


def _unfit_candle(record: CandleRecord) -> str | None:
    if record.candle.interval != Interval.M1:
        return "only 1m candles belong here"
    return rows.why_unfit_candle(record.candle)


def _always_fit(record: Any) -> str | None:
    return None


_ROUTES = (
    Route(
        topics.ENRICHED_TRADES.name,
        codec.enriched,
        lambda record: rows.why_unfit(record.trade),
        _trade_blocks,
        marks.of_trades,
    ),
    Route(topics.CANDLES_1M.name, codec.candle, _unfit_candle, _candle_blocks),
    Route(topics.COVERAGE.name, codec.coverage, _always_fit, _coverage_blocks, spans=marks.of_coverage),
    Route(topics.DEAD_LETTERS.name, codec.dead_letter, _always_fit, _dead_letter_blocks),
    *(
        Route(topic.name, codec.kline, rows.why_unfit_candle, _kline_blocks, marks.of_klines)
        for topic in topics.PRICES.values()
    ),
)
ROUTES: dict[str, Route] = {route.topic: route for route in _ROUTES}
