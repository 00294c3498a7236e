-- Every change of what is held, in order.
SELECT
    symbol,
    seq,
    kind,
    from_id,
    to_id,
    toUnixTimestamp64Milli(from_time) AS from_ms,
    toUnixTimestamp64Milli(to_time) AS to_ms,
    cause,
    toUnixTimestamp64Milli(known_at) AS known_ms,
    segment,
    gap,
    toUnixTimestamp64Milli(opened_at) AS opened_ms
FROM coverage_events FINAL
ORDER BY symbol, seq
