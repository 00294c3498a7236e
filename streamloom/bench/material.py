"""The trades that every case works on: of the made-up market, or recorded ones."""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ingestion.binance.simulator import frames
from ingestion.binance.simulator.listings import LISTED_AT, LISTINGS
from ingestion.binance.simulator.made_up import made_up_books
from ingestion.binance.simulator.recordings import read_recording
from ingestion.binance.simulator.rows import Row
from ingestion.log import codec
from ingestion.pipeline.parse import parse_stream
from ingestion.pipeline.records import Trade
from markets.types import DAY_MS, MINUTE_MS, Asset

SEED: Final = 7
STARTS_AT: Final = LISTED_AT + 400 * DAY_MS
_ON_THE_WAY_MS: Final = 3
# One in so many frames comes twice, and one in so many comes late, by up to so many frames.
_DOUBLE_EVERY, _LATE_EVERY, _LATE_BY = 100, 1000, 5000


@dataclass(frozen=True, slots=True)
class Material:
    """Trades as they arrive: ``frames`` of the stream, and the same as ``trades`` and as ``records`` of the log.

    ``untidy`` are records with doubles and late ones among them; ``first_ids`` is each symbol's lowest id.
    """

    name: str
    frames: Sequence[bytes]
    trades: Sequence[Trade]
    records: Sequence[bytes]
    untidy: Sequence[bytes]
    first_ids: Mapping[str, int]
    assets: Mapping[str, Asset]


def made_up(count: int) -> Material:
    """Trades of all made-up symbols by time: bursts, sweeps, quiet symbols, quantities of 1e10 with eight decimals."""
    books = made_up_books(SEED)
    minutes = count * 1000 // sum(listing.rate for listing in LISTINGS) + 2
    end = STARTS_AT + minutes * MINUTE_MS
    rows = [
        (symbol, row)
        for symbol, book in books.items()
        for row in book.rows(book.place_at(STARTS_AT), book.place_at(end))
    ]
    rows.sort(key=lambda item: item[1].event_time)
    assets = {listing.spec.symbol: Asset(listing.spec.base, listing.spec.quote) for listing in LISTINGS}
    return _material("made up", rows[:count], assets)


def recorded(path: Path, count: int) -> Material:
    """The first trades, by id, of a recording that the simulated exchange can replay. Raises BadRecording."""
    found = sorted(read_recording(path), key=lambda item: (item[0], item[1].trade_id))
    return _material("recorded", found[:count], {symbol: Asset(symbol, "") for symbol, _ in found})


def _material(name: str, rows: Iterable[tuple[str, Row]], assets: Mapping[str, Asset]) -> Material:
    sent = [
        (frames.combined(f"{symbol.lower()}@aggTrade", frames.agg_trade(symbol, row)).encode(), row.event_time)
        for symbol, row in rows
    ]
    trades = [trade_of(frame, event_time) for frame, event_time in sent]
    records = [codec.encode_trade(trade) for trade in trades]
    first_ids: dict[str, int] = {}
    for trade in trades:
        first_ids[trade.symbol] = min(trade.trade_id, first_ids.get(trade.symbol, trade.trade_id))
    return Material(name, [frame for frame, _ in sent], trades, records, _untidy(records), first_ids, assets)


def trades_of_rows(symbol: str, rows: Iterable[Row]) -> list[Trade]:
    """The rows of a market as ingestion reads them from its frames."""
    return [trade_of(frames.agg_trade(symbol, row).encode(), row.event_time) for row in rows]


def trade_of(frame: bytes, event_time: int) -> Trade:
    """What a frame says, as ingestion reads it. Raises ValueError when it is no trade."""
    trade = parse_stream(frame, event_time + _ON_THE_WAY_MS, "simulated")
    if not isinstance(trade, Trade):
        raise ValueError(f"no trade: {trade}")
    return trade


def _untidy(records: Sequence[bytes]) -> list[bytes]:
    """The records with doubles and late ones, always the same ones."""
    chance = random.Random(SEED)  # noqa: S311 - not a secret
    places: list[tuple[float, int]] = []
    for place in range(len(records)):
        late = chance.randrange(_LATE_EVERY) == 0
        places.append((place + (chance.randrange(_LATE_BY) + 0.5 if late else 0.0), place))
        if chance.randrange(_DOUBLE_EVERY) == 0:
            places.append((place + chance.randrange(_LATE_BY) + 0.25, place))
    return [records[place] for _, place in sorted(places)]
