-- The close of every minute with trades.
SELECT toUnixTimestamp64Milli(open_time) AS minute, reinterpret(close, 'Int64') AS price
FROM candles FINAL
WHERE interval = '1m'
  AND symbol = {symbol:String}
  AND open_time >= fromUnixTimestamp64Milli({start:Int64})
  AND open_time < fromUnixTimestamp64Milli({end:Int64})
  AND revision > 0
