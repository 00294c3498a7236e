-- The first and the last trade id of a span of time that were known at a time, those declared invalid included.
SELECT minOrNull(trade_id) AS first_id, maxOrNull(trade_id) AS last_id
FROM trades_enriched
WHERE symbol = {symbol:String}
  AND trade_time >= fromUnixTimestamp64Milli({start:Int64})
  AND trade_time < fromUnixTimestamp64Milli({end:Int64})
  AND toUnixTimestamp64Milli(trade_time) + known_lag <= {as_of:Int64}
