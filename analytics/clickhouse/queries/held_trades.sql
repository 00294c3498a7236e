-- Every id held of a span, those the exchange took back included, by id. Amounts are scaled by 10**8.
SELECT
    trade_id,
    reinterpret(price, 'Int64') AS price_scaled,
    reinterpret(qty, 'Int128') AS qty_scaled,
    first_id,
    last_id,
    toUnixTimestamp64Milli(trade_time) AS trade_ms,
    is_buyer_maker
FROM trades_enriched FINAL
WHERE symbol = {symbol:String}
  AND trade_time >= fromUnixTimestamp64Milli({start:Int64})
  AND trade_time < fromUnixTimestamp64Milli({end:Int64})
ORDER BY trade_id
