"""Where the tail begins: what the sink and the tables know already."""

from collections.abc import Mapping

from django.db import close_old_connections

from analytics.clickhouse.client import client
from analytics.clickhouse.sql import sql
from analytics.reading.cursor import seq_of
from analytics.sink import selectors
from ingestion.log import topics
from ingestion.log.port import Log
from ingestion.pipeline.coverage import SymbolCoverage, fold_events
from ingestion.pipeline.records import CoverageEvent


def sink_positions() -> Mapping[tuple[str, int], int]:
    """The sink's next offset by (topic, partition). For a thread without requests: it drops stale connections."""
    close_old_connections()
    return selectors.sink_positions()


def coverage_before(log: Log) -> Mapping[str, SymbolCoverage]:
    """Each symbol's coverage from the stored changes that are older than what the log still keeps."""
    topic = topics.COVERAGE.name
    known: dict[str, list[CoverageEvent]] = {}
    for row in client().query(sql("coverage_events")).result_rows:
        symbol, seq, *fields = row
        oldest = log.start_offset(topic, log.partition_of(topic, symbol))
        if seq < seq_of(log.epoch(topic), oldest):
            kind, *rest = fields
            known.setdefault(symbol, []).append(CoverageEvent(kind, symbol, *rest))
    return {symbol: fold_events(events) for symbol, events in known.items()}
