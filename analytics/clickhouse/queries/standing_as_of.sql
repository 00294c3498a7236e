-- Where a symbol stood at a time: the newest time by which a record was known, and the newest minute that had closed.
-- next_ms, next_seq: of the first record that was known later. Null: there is none. Four narrow columns are read.
WITH fromUnixTimestamp64Milli({as_of:Int64}) AS limit_at
SELECT
    toUnixTimestamp64Milli(maxOrNullIf(known_at, known_at <= limit_at)) AS known_ms,
    toUnixTimestamp64Milli(maxOrNullIf(open_time, known_at <= limit_at AND reason = 'closed')) AS newest_ms,
    toUnixTimestamp64Milli(minOrNullIf(known_at, known_at > limit_at)) AS next_ms,
    toInt64(minOrNullIf(seq, known_at > limit_at)) AS next_seq
FROM candle_journal
WHERE symbol = {symbol:String}
