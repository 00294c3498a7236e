-- The first stored id at or after a time, and its time.
SELECT trade_id, toUnixTimestamp64Milli(trade_time) AS time
FROM trades_enriched
WHERE symbol = {symbol:String} AND trade_time >= fromUnixTimestamp64Milli({time:Int64})
ORDER BY trade_id
LIMIT 1
