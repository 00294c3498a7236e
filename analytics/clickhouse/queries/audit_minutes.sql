-- How many rows and how many trades the table holds of each minute of a span. No FINAL: rows may be there twice.
SELECT
    intDiv(toUnixTimestamp64Milli(trade_time), 60000) * 60000 AS minute,
    count() AS stored_rows,
    uniqExact(trade_id) AS trades
FROM trades_enriched
WHERE symbol = {symbol:String}
  AND trade_time >= fromUnixTimestamp64Milli({start:Int64})
  AND trade_time < fromUnixTimestamp64Milli({end:Int64})
GROUP BY minute
ORDER BY minute
