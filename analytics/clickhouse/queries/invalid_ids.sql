-- The ids of a range that the exchange declared invalid, as far as that was known at a time: they are held, and in no candle.
SELECT trade_id
FROM trades_enriched FINAL
WHERE symbol = {symbol:String}
  AND trade_id >= {from_id:Int64}
  AND trade_id <= {to_id:Int64}
  AND first_id < 0
  AND toUnixTimestamp64Milli(trade_time) + known_lag <= {as_of:Int64}
