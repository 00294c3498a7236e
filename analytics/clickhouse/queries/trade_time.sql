-- When one trade happened.
SELECT toUnixTimestamp64Milli(trade_time) AS trade_ms
FROM trades_enriched
WHERE symbol = {symbol:String} AND trade_id = {trade_id:Int64}
LIMIT 1
