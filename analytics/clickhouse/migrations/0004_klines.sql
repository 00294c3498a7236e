-- Candles as the exchange itself reports them. rank decides between two reports of one bucket: closed
-- before running, then rest (3) before stream (2) before archive (1).
CREATE TABLE IF NOT EXISTS klines
(
    interval LowCardinality(String),
    symbol LowCardinality(String),
    open_time DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    close_time DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    open Decimal(18, 8) CODEC(Delta, ZSTD(1)),
    high Decimal(18, 8) CODEC(Delta, ZSTD(1)),
    low Decimal(18, 8) CODEC(Delta, ZSTD(1)),
    close Decimal(18, 8) CODEC(Delta, ZSTD(1)),
    volume Decimal(38, 8) CODEC(ZSTD(1)),
    quote_volume Decimal(38, 8) CODEC(ZSTD(1)),
    trades Int64 CODEC(T64, ZSTD(1)),
    taker_buy_volume Decimal(38, 8) CODEC(ZSTD(1)),
    taker_buy_quote_volume Decimal(38, 8) CODEC(ZSTD(1)),
    first_fill_id Int64 CODEC(Delta, ZSTD(1)),
    last_fill_id Int64 CODEC(Delta, ZSTD(1)),
    closed UInt8 CODEC(T64('bit'), ZSTD(1)),
    source LowCardinality(String),
    rank UInt8 CODEC(T64, ZSTD(1)),
    event_time DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(rank)
ORDER BY (interval, symbol, open_time);
