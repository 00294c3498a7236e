"""What log, tables and database hold, read past every role."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import clickhouse_connect
import psycopg

from analytics.sink.tables import ROUTES
from ingestion.log import codec
from ingestion.log.kafka import KafkaLog
from ingestion.log.kafka_config import KafkaConfig
from ingestion.log.port import Stored, TopicPartition
from ingestion.log.topics import CANDLES_1M, COVERAGE, DEAD_LETTERS, ENRICHED_TRADES, PRICES
from ingestion.pipeline.coverage import SymbolCoverage, apply_events
from ingestion.pipeline.records import CandleReason
from streamloom.faults.place import PARTITIONS, Place

Key = tuple[Any, ...]
_OPEN_TIME: Final = "toUnixTimestamp64Milli(open_time)"
# The key of each record as its table has it.
_KEYS: Final[Mapping[str, str]] = {
    ENRICHED_TRADES.name: "symbol, trade_id FROM trades_enriched FINAL",
    CANDLES_1M.name: f"symbol, {_OPEN_TIME}, seq FROM candle_journal FINAL",
    COVERAGE.name: "symbol, seq FROM coverage_events FINAL",
    DEAD_LETTERS.name: "partition, offset FROM dead_letters FINAL",
} | {topic.name: f"symbol, {_OPEN_TIME} FROM klines FINAL WHERE interval = '{name}'" for name, topic in PRICES.items()}


@dataclass(frozen=True, slots=True)
class Version:
    """A record of ``candles_1m``."""

    symbol: str
    open_time: int
    revision: int
    is_close: bool


@dataclass(frozen=True, slots=True)
class Step:
    """A move of the sink's place; ``was`` None: its first."""

    topic: str
    partition: int
    was: int | None
    becomes: int


@dataclass(frozen=True, slots=True)
class Found:
    """Everything, as of ``ends``. ``logged``: the keys of each topic's records, as often as they are there;
    ``stored``: the keys of its table's rows under FINAL. ``minutes``, ``hours``: (symbol, open time) → trades."""

    ends: Mapping[TopicPartition, int]
    places: Mapping[TopicPartition, int]
    steps: tuple[Step, ...]
    logged: Mapping[str, list[Key]]
    stored: Mapping[str, list[Key]]
    versions: tuple[Version, ...]
    coverage: Mapping[str, SymbolCoverage]
    minutes: Mapping[Key, int]
    hours: Mapping[Key, int]
    letters: tuple[str, ...] = ()

    def ids(self, symbol: str) -> list[int]:
        """The ids of ``enriched_trades``, as often as they are there."""
        return [trade_id for name, trade_id in self.logged[ENRICHED_TRADES.name] if name == symbol]

    def stored_ids(self, symbol: str) -> list[int]:
        """The ids of ``trades_enriched`` under FINAL."""
        return [trade_id for name, trade_id in self.stored[ENRICHED_TRADES.name] if name == symbol]


@dataclass
class _Topic:
    """What was read of a topic so far; records do not change, so nothing is read twice."""

    read_to: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    keys: list[tuple[int, int, Key]] = field(default_factory=list)


class Facts:
    """Reads one installation again and again. For one thread."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._topics: dict[str, _Topic] = defaultdict(_Topic)
        self._versions: list[Version] = []
        self._coverage: dict[str, SymbolCoverage] = defaultdict(SymbolCoverage)
        self._letters: list[str] = []

    def close(self) -> None:
        """Nothing is held between looks."""

    @contextmanager
    def log(self) -> Any:
        """The log for one look: a client that lived through a fault might not."""
        opened = KafkaLog(KafkaConfig(self._place.brokers, prefix=self._place.prefix, slot=99))
        try:
            yield opened
        finally:
            opened.close()

    def ask(self, query: str) -> list[Key]:
        """Rows of the database."""
        with psycopg.connect(self._place.database_url, connect_timeout=5, autocommit=True) as asked:
            return asked.execute(query).fetchall()

    def tables(self, query: str) -> list[Key]:
        """Rows of ClickHouse."""
        store = clickhouse_connect.get_client(dsn=self._place.clickhouse_url, autogenerate_session_id=False)
        try:
            return [tuple(row) for row in store.query(query).result_rows]
        finally:
            store.close()

    def stored_below(self, symbol: str, last_id: int) -> tuple[int, int]:
        """(lowest id, how many) of the symbol's stored trades up to ``last_id``."""
        where = f"symbol = '{symbol}' AND trade_id <= {last_id}"
        rows = self.tables(f"SELECT min(trade_id), count() FROM trades_enriched FINAL WHERE {where}")
        return rows[0][0], rows[0][1]

    def places(self) -> dict[TopicPartition, int]:
        """Where the sink stands."""
        rows = self.ask("SELECT topic, partition, next_offset FROM analytics_sinkposition ORDER BY id")
        return {TopicPartition(topic, partition): offset for topic, partition, offset in rows}

    def dirty(self) -> int:
        """How many buckets wait to be made again."""
        return int(self.ask("SELECT count(*) FROM analytics_dirty")[0][0])

    def ends(self) -> dict[TopicPartition, int]:
        """The end of everything that the sink stores."""
        with self.log() as log:
            return {TopicPartition(t, p): log.end_offset(t, p) for t in ROUTES for p in range(PARTITIONS)}

    def look(self, ends: Mapping[TopicPartition, int]) -> Found:
        """Everything below ``ends``, which the sink has passed."""
        epochs: dict[str, int] = {}
        with self.log() as log:
            for (topic, partition), end in ends.items():
                epochs[topic] = log.epoch(topic)
                state = self._topics[topic]
                if end > state.read_to[partition]:
                    records = log.read_range(topic, partition, state.read_to[partition], end)
                    self._take(topic, records, epochs[topic], state)
                    state.read_to[partition] = end
        counts = self._counts()
        return Found(
            ends,
            self.places(),
            tuple(Step(*row) for row in self.ask("SELECT topic, partition, was, becomes FROM fault_steps ORDER BY id")),
            {topic: [key for _, _, key in self._topics[topic].keys] for topic in _KEYS},
            {topic: self.tables(f"SELECT {keys}") for topic, keys in _KEYS.items()},
            tuple(self._versions),
            dict(self._coverage),
            {row[1:3]: row[3] for row in counts if row[0] == "1m"},
            {row[1:3]: row[3] for row in counts if row[0] == "1h"},
            tuple(self._letters),
        )

    def forget(self, topic: str, partition: int, stored_to: int, deleted_to: int) -> None:
        """Retention took the records from ``stored_to`` on: they need not be anywhere any more."""
        state = self._topics[topic]
        gone = range(stored_to, deleted_to)
        state.keys = [item for item in state.keys if item[0] != partition or item[1] not in gone]
        state.read_to[partition] = max(state.read_to[partition], deleted_to)

    def _counts(self) -> list[Key]:
        return self.tables(f"SELECT interval, symbol, {_OPEN_TIME}, agg_trades FROM candles FINAL")

    def _take(self, topic: str, records: Iterable[Stored], epoch: int, state: _Topic) -> None:
        take = self._takers().get(topic)
        if take is not None:
            state.keys += [
                (stored.partition, stored.offset, take(stored, epoch << 40 | stored.offset)) for stored in records
            ]

    def _takers(self) -> dict[str, Callable[[Stored, int], Key]]:
        return {
            ENRICHED_TRADES.name: lambda stored, _: (stored.key, codec.enriched(stored.value).trade.trade_id),
            CANDLES_1M.name: self._take_candle,
            COVERAGE.name: self._take_event,
            DEAD_LETTERS.name: self._take_letter,
            **{topic.name: _take_kline for topic in PRICES.values()},
        }

    def _take_candle(self, stored: Stored, seq: int) -> Key:
        record = codec.candle(stored.value)
        candle = record.candle
        is_close = record.reason == CandleReason.CLOSED
        self._versions.append(Version(stored.key, candle.open_time, candle.revision, is_close))
        return stored.key, candle.open_time, seq

    def _take_event(self, stored: Stored, seq: int) -> Key:
        event = codec.coverage(stored.value)
        self._coverage[stored.key] = apply_events(self._coverage[stored.key], [event])
        return stored.key, seq

    def _take_letter(self, stored: Stored, _: int) -> Key:
        self._letters.append(codec.dead_letter(stored.value).reason)
        return stored.partition, stored.offset


def _take_kline(stored: Stored, _: int) -> Key:
    return stored.key, codec.kline(stored.value).open_time
