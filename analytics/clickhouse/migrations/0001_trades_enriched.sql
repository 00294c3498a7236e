-- One row per aggregate trade that is held, ids the exchange declared invalid included (first_id = -1).
-- Times are stored as lags to trade_time and last_id as a count of fills: the ALIAS columns give the
-- originals back. A lag is Int64 because a replayed year is years behind its ingest; T64 stores only the
-- bits in use. No codec of numbers takes Decimal(38, 8): ZSTD alone.
CREATE TABLE IF NOT EXISTS trades_enriched
(
    symbol LowCardinality(String),
    trade_id Int64 CODEC(DoubleDelta, LZ4),
    trade_time DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    price Decimal(18, 8) CODEC(Delta, ZSTD(1)),
    qty Decimal(38, 8) CODEC(ZSTD(1)),
    first_id Int64 CODEC(DoubleDelta, ZSTD(1)),
    fills UInt32 CODEC(T64, ZSTD(1)),
    is_buyer_maker UInt8 CODEC(T64('bit'), ZSTD(1)),
    late UInt8 CODEC(T64('bit'), ZSTD(1)),
    event_lag Nullable(Int64) CODEC(T64, ZSTD(1)),
    ingest_lag Int64 CODEC(T64, ZSTD(1)),
    known_lag Int64 CODEC(T64, ZSTD(1)),
    source LowCardinality(String),
    base LowCardinality(String),
    quote LowCardinality(String),
    last_id Int64 ALIAS if(first_id < 0, toInt64(-1), first_id + fills - 1),
    is_invalid UInt8 ALIAS first_id < 0,
    event_time Nullable(DateTime64(3, 'UTC')) ALIAS addMilliseconds(trade_time, event_lag),
    ingest_ts DateTime64(3, 'UTC') ALIAS addMilliseconds(trade_time, ingest_lag),
    known_at DateTime64(3, 'UTC') ALIAS addMilliseconds(trade_time, known_lag),
    latency_ms Nullable(Int64) ALIAS ingest_lag - event_lag,
    notional Decimal(76, 16) ALIAS toDecimal256(price, 8) * toDecimal256(qty, 8),
    side String ALIAS if(is_buyer_maker = 1, 'sell', 'buy'),
    session String ALIAS multiIf(toHour(trade_time) < 8, 'asia', toHour(trade_time) < 16, 'europe', 'america'),
    trade_day Date ALIAS toDate(trade_time),
    INDEX by_time trade_time TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(trade_time)
ORDER BY (symbol, trade_id);
