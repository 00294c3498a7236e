"""Enriched trades from the log's bytes into ClickHouse, the engine's CPU included."""

import datetime as dt
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from clickhouse_connect.driver.client import Client

from analytics.clickhouse.client import client
from analytics.clickhouse.migrate import migrate
from analytics.sink import tables
from ingestion.log import codec
from ingestion.log.port import Stored
from ingestion.log.topics import ENRICHED_TRADES
from ingestion.pipeline.enrich import enrich
from streamloom.bench import naive
from streamloom.bench.contest import Case, Contestant
from streamloom.bench.material import Material

_TABLE: Final = "trades_enriched"
_COLUMNS: Final = (
    *("symbol", "trade_id", "trade_time", "price", "qty", "first_id", "fills", "is_buyer_maker", "late"),
    *("event_lag", "ingest_lag", "known_lag", "source", "base", "quote"),
)
_BLOCKS: Final = (2_000, 20_000)


def cases(material: Material) -> Iterator[Case]:
    """Needs an embedded engine of its own: see ``place``."""
    records = _records(material)
    for block in _BLOCKS:
        yield Case(
            f"sink: rows to ClickHouse, {min(block, len(records)):,} an insert",
            len(records),
            "row",
            Contestant(lambda store, size=block: _insert_rows(store, records, size), _checksum, _store),
            Contestant(lambda store, size=block: _insert_blocks(store, records, size), _checksum, _store),
        )
        if len(records) <= block:
            return


def _records(material: Material) -> list[Stored]:
    stored = []
    for offset, (trade, value) in enumerate(zip(material.trades, material.records, strict=True)):
        made = enrich(trade, material.assets[trade.symbol], trade.event_time or trade.trade_time, late=False)
        stored.append(Stored(ENRICHED_TRADES.name, 0, offset, 0, trade.symbol, codec.encode_enriched(made, value), 1))
    return stored


@contextmanager
def _store() -> Iterator[Client]:
    store = client()
    migrate(store)
    store.command(f"TRUNCATE TABLE {_TABLE}")
    yield store


def _checksum(store: Client, _: Any) -> Sequence[Any]:
    return store.query(f"SELECT count(), sum(cityHash64(*)) FROM {_TABLE} FINAL").first_row


def _insert_blocks(store: Client, records: Sequence[Stored], size: int) -> None:
    route = tables.ROUTES[ENRICHED_TRADES.name]
    for start in range(0, len(records), size):
        reads, _ = tables.decode(route, records[start : start + size])
        blocks, _ = tables.build(route, reads, 1)
        for table, block in blocks.items():
            store.insert_arrow(table, block)


def _insert_rows(store: Client, records: Sequence[Stored], size: int) -> None:
    for start in range(0, len(records), size):
        rows = [_row(naive.decode(record.value)) for record in records[start : start + size]]
        store.insert(_TABLE, rows, column_names=_COLUMNS)


def _row(trade: naive.Trade) -> tuple[Any, ...]:
    time = trade["trade_time"]
    return (
        *(trade["symbol"], trade["trade_id"], dt.datetime.fromtimestamp(time / 1000, tz=dt.UTC)),
        *(trade["price"], trade["qty"], trade["first_id"], trade["last_id"] - trade["first_id"] + 1),
        *(int(trade["is_buyer_maker"]), int(trade["late"]), trade["event_time"] - time),
        *(trade["ingest_ts"] - time, trade["known_at"] - time, trade["source"], trade["base"], trade["quote"]),
    )
