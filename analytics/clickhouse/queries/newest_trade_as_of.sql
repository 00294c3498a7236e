-- The newest trade that was known at a time; none is known before it happened.
SELECT
    trade_id,
    toUnixTimestamp64Milli(trade_time) AS trade_ms,
    reinterpret(price, 'Int64') AS price_scaled,
    trade_ms + known_lag AS known_ms
FROM trades_enriched
WHERE symbol = {symbol:String}
  AND trade_time <= fromUnixTimestamp64Milli({as_of:Int64})
  AND known_ms <= {as_of:Int64}
ORDER BY trade_id DESC
LIMIT 1
