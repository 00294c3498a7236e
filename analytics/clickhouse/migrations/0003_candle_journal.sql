-- Every record of the log's candles_1m: what was known of a minute, and when. seq = epoch << 40 | offset.
-- difference: JSON {"field": ["ours", "the exchange's"]}, empty when there is none.
CREATE TABLE IF NOT EXISTS candle_journal
(
    symbol LowCardinality(String),
    open_time DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    seq UInt64 CODEC(Delta, ZSTD(1)),
    open Decimal(18, 8) CODEC(Delta, ZSTD(1)),
    high Decimal(18, 8) CODEC(Delta, ZSTD(1)),
    low Decimal(18, 8) CODEC(Delta, ZSTD(1)),
    close Decimal(18, 8) CODEC(Delta, ZSTD(1)),
    volume Decimal(38, 8) CODEC(ZSTD(1)),
    quote_volume Decimal(38, 8) CODEC(ZSTD(1)),
    trades Int64 CODEC(T64, ZSTD(1)),
    taker_buy_volume Decimal(38, 8) CODEC(ZSTD(1)),
    taker_buy_quote_volume Decimal(38, 8) CODEC(ZSTD(1)),
    first_trade_id Nullable(Int64) CODEC(Delta, ZSTD(1)),
    last_trade_id Nullable(Int64) CODEC(Delta, ZSTD(1)),
    first_fill_id Nullable(Int64) CODEC(Delta, ZSTD(1)),
    last_fill_id Nullable(Int64) CODEC(Delta, ZSTD(1)),
    revision UInt64 CODEC(T64, ZSTD(1)),
    quote_rounding Decimal(18, 8) CODEC(ZSTD(1)),
    known_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    state LowCardinality(String),
    reason LowCardinality(String),
    missing Nullable(Int64) CODEC(ZSTD(1)),
    difference String CODEC(ZSTD(1)),
    agg_trades UInt64 ALIAS revision
)
ENGINE = ReplacingMergeTree
ORDER BY (symbol, open_time, seq);

-- The newest verdict on each revision of a minute. Grouping makes repeated rows harmless, so no FINAL.
CREATE VIEW IF NOT EXISTS certifications AS
SELECT
    symbol,
    open_time,
    revision,
    argMax(journal.state, journal.seq) AS state,
    argMax(journal.difference, journal.seq) AS difference,
    argMax(journal.known_at, journal.seq) AS known_at,
    max(journal.seq) AS seq
FROM candle_journal AS journal
WHERE journal.state IN ('certified', 'disputed')
GROUP BY symbol, open_time, revision;
