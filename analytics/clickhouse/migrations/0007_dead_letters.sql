-- What could not be used, untouched. topic, partition, epoch and offset are the letter's own place in the log.
CREATE TABLE IF NOT EXISTS dead_letters
(
    topic LowCardinality(String),
    partition UInt32,
    epoch UInt32,
    offset UInt64 CODEC(Delta, ZSTD(1)),
    reason LowCardinality(String),
    symbol LowCardinality(String),
    detail String CODEC(ZSTD(1)),
    origin String CODEC(ZSTD(1)),
    frame String CODEC(ZSTD(1)),
    known_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    replays UInt32 CODEC(T64, ZSTD(1))
)
ENGINE = ReplacingMergeTree
ORDER BY (topic, partition, epoch, offset);
