-- What closed klines are stored: symbols and intervals with their first and newest open time.
SELECT
    symbol,
    interval,
    toUnixTimestamp64Milli(min(open_time)) AS first_ms,
    toUnixTimestamp64Milli(max(open_time)) AS newest_ms
FROM klines
WHERE closed = 1
  AND interval IN {intervals:Array(String)}
GROUP BY symbol, interval
ORDER BY symbol, interval
