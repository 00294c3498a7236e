-- The exchange's own closed candles of some intervals of a span. Amounts are scaled by 10**8.
SELECT
    interval,
    toUnixTimestamp64Milli(open_time) AS open_ms,
    toUnixTimestamp64Milli(close_time) AS close_ms,
    reinterpret(open, 'Int64') AS open_scaled,
    reinterpret(high, 'Int64') AS high_scaled,
    reinterpret(low, 'Int64') AS low_scaled,
    reinterpret(close, 'Int64') AS close_scaled,
    reinterpret(volume, 'Int128') AS volume_scaled,
    reinterpret(quote_volume, 'Int128') AS quote_volume_scaled,
    trades,
    reinterpret(taker_buy_volume, 'Int128') AS taker_buy_volume_scaled,
    reinterpret(taker_buy_quote_volume, 'Int128') AS taker_buy_quote_volume_scaled,
    first_fill_id,
    last_fill_id,
    source,
    toUnixTimestamp64Milli(event_time) AS event_ms
FROM klines FINAL
WHERE has({intervals:Array(String)}, interval)
  AND symbol = {symbol:String}
  AND open_time >= fromUnixTimestamp64Milli({start:Int64})
  AND open_time < fromUnixTimestamp64Milli({end:Int64})
  AND closed = 1
