-- What is held, as changes: a symbol's rows in the order of seq fold into its segments, gaps and holes.
CREATE TABLE IF NOT EXISTS coverage_events
(
    symbol LowCardinality(String),
    seq UInt64 CODEC(Delta, ZSTD(1)),
    kind LowCardinality(String),
    from_id Nullable(Int64) CODEC(ZSTD(1)),
    to_id Nullable(Int64) CODEC(ZSTD(1)),
    from_time Nullable(DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    to_time Nullable(DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    cause LowCardinality(String),
    known_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    segment Nullable(Int64) CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
ORDER BY (symbol, seq);
