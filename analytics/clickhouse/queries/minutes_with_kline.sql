-- Which of these minutes the exchange's closed kline is stored of. Repeated rows are harmless: no FINAL.
SELECT DISTINCT symbol, toUnixTimestamp64Milli(open_time) AS minute
FROM klines
WHERE interval = '1m'
  AND symbol IN {symbols:Array(String)}
  AND open_time >= fromUnixTimestamp64Milli({start:Int64})
  AND open_time <= fromUnixTimestamp64Milli({end:Int64})
  AND minute IN {minutes:Array(Int64)}
  AND closed = 1
