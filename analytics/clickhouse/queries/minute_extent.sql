-- The first and the last stored minute of a symbol, and how many rows there are.
SELECT
    toUnixTimestamp64Milli(min(open_time)) AS first_minute,
    toUnixTimestamp64Milli(max(open_time)) AS last_minute,
    count() AS stored
FROM candles
WHERE interval = '1m' AND symbol = {symbol:String}
