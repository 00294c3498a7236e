-- The last minute with trades before a time: its open time, revision and close.
SELECT toUnixTimestamp64Milli(open_time) AS minute, toInt64(revision) AS agg_trades, reinterpret(close, 'Int64') AS price
FROM candles FINAL
WHERE interval = '1m'
  AND symbol = {symbol:String}
  AND open_time < fromUnixTimestamp64Milli({before:Int64})
  AND revision > 0
ORDER BY open_time DESC
LIMIT 1
