-- The last minute with trades before a time, as it was known at another: its open time, revision and close.
SELECT toUnixTimestamp64Milli(open_time) AS minute, toInt64(revision) AS agg_trades, reinterpret(close, 'Int64') AS price
FROM candle_journal
WHERE symbol = {symbol:String}
  AND open_time < fromUnixTimestamp64Milli({before:Int64})
  AND known_at <= fromUnixTimestamp64Milli({as_of:Int64})
  AND revision > 0
ORDER BY open_time DESC, revision DESC
LIMIT 1
