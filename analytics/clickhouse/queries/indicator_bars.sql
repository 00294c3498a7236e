-- The closed klines of a span, as numbers for indicators.
SELECT
    toUnixTimestamp64Milli(open_time) AS open_ms,
    toFloat64(high) AS highest,
    toFloat64(low) AS lowest,
    toFloat64(close) AS last_price,
    toFloat64(volume) AS base_volume
FROM klines FINAL
WHERE interval = {interval:String}
  AND symbol = {symbol:String}
  AND open_time >= fromUnixTimestamp64Milli({start:Int64})
  AND open_time <= fromUnixTimestamp64Milli({last:Int64})
  AND closed = 1
ORDER BY open_time
