-- How many of the ids from_id..to_id are stored, and the first and the last of them with their times; null without any.
SELECT
    uniqExact(trade_id) AS ids,
    minOrNull(trade_id) AS first_id,
    maxOrNull(trade_id) AS last_id,
    toUnixTimestamp64Milli(argMin(trade_time, trade_id)) AS first_time,
    toUnixTimestamp64Milli(argMax(trade_time, trade_id)) AS last_time
FROM trades_enriched
WHERE symbol = {symbol:String} AND trade_id >= {from_id:Int64} AND trade_id <= {to_id:Int64}
