-- The first and the last trade id of whole minutes as they were known at a time. An older version holds fewer trades.
SELECT min(first_trade_id) AS first_id, max(last_trade_id) AS last_id
FROM candle_journal
WHERE symbol = {symbol:String}
  AND open_time >= fromUnixTimestamp64Milli({start:Int64})
  AND open_time < fromUnixTimestamp64Milli({end:Int64})
  AND known_at <= fromUnixTimestamp64Milli({as_of:Int64})
