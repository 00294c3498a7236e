-- Indicators of a candle, by name (sma_20, rsi_14 ...). revision: of the candle they were computed from.
CREATE TABLE IF NOT EXISTS indicators
(
    interval LowCardinality(String),
    symbol LowCardinality(String),
    open_time DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    revision UInt64 CODEC(T64, ZSTD(1)),
    values Map(LowCardinality(String), Float64) CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(revision)
ORDER BY (interval, symbol, open_time);
