-- The open times of the first closed kline from a time on, and of the newest of all; null where there is none.
SELECT
    toUnixTimestamp64Milli(minOrNullIf(open_time, open_time >= fromUnixTimestamp64Milli({start:Int64}))) AS first_ms,
    toUnixTimestamp64Milli(maxOrNull(open_time)) AS newest_ms
FROM klines
WHERE interval = {interval:String}
  AND symbol = {symbol:String}
  AND closed = 1
