-- The last price before a time, looking back to `since`. Repeated rows are harmless: no FINAL.
SELECT reinterpret(argMax(price, trade_id), 'Int64') AS price_scaled
FROM trades_enriched
WHERE symbol = {symbol:String}
  AND trade_time >= fromUnixTimestamp64Milli({since:Int64})
  AND trade_time < fromUnixTimestamp64Milli({before:Int64})
  AND first_id >= 0
