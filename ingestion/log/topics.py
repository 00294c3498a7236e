"""The catalogue of topics: one line of purpose each. No other file spells a topic's name."""

from dataclasses import dataclass

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic and how long it keeps its records. ``compacted``: at least the newest record of each key stays."""

    name: str
    written_by: str
    read_by: str
    retention_ms: int = 7 * DAY_MS
    compacted: bool = False


RAW_TRADES = Topic("raw_trades", "ingest_trades, repair_gaps, backfill", "process_trades")
ENRICHED_TRADES = Topic("enriched_trades", "process_trades", "sink, web")
CANDLES_1M = Topic("candles_1m", "process_trades, rebuild, certify", "sink, web")
CANDLES_LIVE = Topic(
    "candles_live", "process_trades", "ingest_trades, sink, web", retention_ms=DAY_MS // 24, compacted=True
)
COVERAGE = Topic("coverage", "process_trades", "sink, repair_gaps, web")
DEAD_LETTERS = Topic("dead_letters", "every reader of frames", "sink, replay_dead_letters")
PRICES = {
    interval: Topic(f"prices-{interval}", "process_trades, ingest_klines", "sink")
    for interval in ("1s", "1m", "15m", "1h", "1d")
}

CATALOGUE: tuple[Topic, ...] = (
    RAW_TRADES,
    ENRICHED_TRADES,
    CANDLES_1M,
    CANDLES_LIVE,
    COVERAGE,
    DEAD_LETTERS,
    *PRICES.values(),
)
BY_NAME = {topic.name: topic for topic in CATALOGUE}

# Kept by Kafka only: the sqlite log has its own tables for these.
PROCESSOR_STATE = Topic("processor_state", "process_trades", "process_trades", compacted=True)
REPAIR_STATE = Topic("repair_gaps_state", "repair_gaps", "repair_gaps", compacted=True)
# Which life of a topic has which epoch: one record per topic, in one partition.
LOG_EPOCHS = Topic("log_epochs", "create_topics", "every process", compacted=True)
INTERNAL: tuple[Topic, ...] = (PROCESSOR_STATE, REPAIR_STATE, LOG_EPOCHS)

# Groups whose progress the log keeps.
GROUP_PROCESS = "process_trades"
GROUP_REPAIR = "repair_gaps"
# The sink keeps its own positions (SinkPosition) and only reports them under this name.
GROUP_SINK = "sink"

# The changelog of each stateful group: partitioned as its input.
STATE_OF = {GROUP_PROCESS: PROCESSOR_STATE, GROUP_REPAIR: REPAIR_STATE}
