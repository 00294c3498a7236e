-- The last closed klines of a span, newest first.
SELECT
    toUnixTimestamp64Milli(open_time) AS open_ms,
    toUnixTimestamp64Milli(close_time) AS close_ms,
    reinterpret(open, 'Int64') AS first_price,
    reinterpret(high, 'Int64') AS highest,
    reinterpret(low, 'Int64') AS lowest,
    reinterpret(close, 'Int64') AS last_price,
    reinterpret(volume, 'Int128') AS base_volume,
    reinterpret(quote_volume, 'Int128') AS quote_amount,
    trades,
    reinterpret(taker_buy_volume, 'Int128') AS taker_volume,
    reinterpret(taker_buy_quote_volume, 'Int128') AS taker_amount
FROM klines FINAL
WHERE interval = {interval:String}
  AND symbol = {symbol:String}
  AND open_time >= fromUnixTimestamp64Milli({start:Int64})
  AND open_time < fromUnixTimestamp64Milli({end:Int64})
  AND closed = 1
  AND ({with_empty:Bool} OR trades > 0)
ORDER BY open_time DESC
LIMIT {limit:UInt32}
