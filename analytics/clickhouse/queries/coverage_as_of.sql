-- A symbol's changes of what is held that were known at a time, in order.
SELECT
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
WHERE symbol = {symbol:String} AND known_at <= fromUnixTimestamp64Milli({as_of:Int64})
ORDER BY seq
