-- Candles of every stored interval; the version is the number of trades. A candle without trades has null
-- ids. 1m rows come from the log; 1h and 1d rows are a cache of them, current only where their revision is
-- the sum of their minutes'. State and missing are derived on read: they are no function of the trades.
CREATE TABLE IF NOT EXISTS candles
(
    interval LowCardinality(String),
    symbol LowCardinality(String),
    open_time DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
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
    agg_trades UInt64 ALIAS revision
)
ENGINE = ReplacingMergeTree(revision)
ORDER BY (interval, symbol, open_time);

CREATE VIEW IF NOT EXISTS candles_1m AS
SELECT *, revision AS agg_trades FROM candles FINAL WHERE interval = '1m';
