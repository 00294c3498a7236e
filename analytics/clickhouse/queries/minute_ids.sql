-- The first and the last trade id of whole minutes. An older version of a minute holds fewer trades, so no FINAL.
SELECT min(first_trade_id) AS first_id, max(last_trade_id) AS last_id
FROM candles
WHERE interval = '1m'
  AND symbol = {symbol:String}
  AND open_time >= fromUnixTimestamp64Milli({start:Int64})
  AND open_time < fromUnixTimestamp64Milli({end:Int64})
