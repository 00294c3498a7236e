-- The first stored id at or above an id, and its time.
SELECT trade_id, toUnixTimestamp64Milli(trade_time) AS time
FROM trades_enriched
WHERE symbol = {symbol:String} AND trade_id >= {from_id:Int64}
ORDER BY trade_id
LIMIT 1
