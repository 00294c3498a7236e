-- Buckets of which reports of the exchange that do not say the same are still stored, and where they came from. No
-- FINAL: the table keeps one report of a bucket, but not before it merges.
SELECT interval, toUnixTimestamp64Milli(open_time) AS open_ms, arraySort(groupUniqArray(toString(source))) AS sources
FROM klines
WHERE has({intervals:Array(String)}, interval)
  AND symbol = {symbol:String}
  AND open_time >= fromUnixTimestamp64Milli({start:Int64})
  AND open_time < fromUnixTimestamp64Milli({end:Int64})
  AND closed = 1
GROUP BY interval, open_time
HAVING uniqExact(open, high, low, close, volume, quote_volume, trades, taker_buy_volume, taker_buy_quote_volume) > 1
ORDER BY interval, open_ms
