-- The first and the last trade id of a span of time, those declared invalid included; null without any.
SELECT minOrNull(trade_id) AS first_id, maxOrNull(trade_id) AS last_id
FROM trades_enriched
WHERE symbol = {symbol:String}
  AND trade_time >= fromUnixTimestamp64Milli({start:Int64})
  AND trade_time < fromUnixTimestamp64Milli({end:Int64})
