-- The newest closed minute of each symbol, among those that open at `since` or later.
SELECT symbol, toUnixTimestamp64Milli(max(open_time)) AS newest
FROM candles
WHERE interval = '1m'
  AND symbol IN {symbols:Array(String)}
  AND open_time >= fromUnixTimestamp64Milli({since:Int64}, 'UTC')
GROUP BY symbol
