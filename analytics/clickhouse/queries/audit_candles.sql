-- Stored candles of some intervals of a span, with every exact field. Amounts are scaled by 10**8.
SELECT
    interval,
    toUnixTimestamp64Milli(open_time) AS open_ms,
    reinterpret(open, 'Int64') AS first_price,
    reinterpret(high, 'Int64') AS highest,
    reinterpret(low, 'Int64') AS lowest,
    reinterpret(close, 'Int64') AS last_price,
    reinterpret(volume, 'Int128') AS volumes,
    reinterpret(quote_volume, 'Int128') AS quote_volumes,
    trades,
    reinterpret(taker_buy_volume, 'Int128') AS taker_buy_volumes,
    reinterpret(taker_buy_quote_volume, 'Int128') AS taker_buy_quote_volumes,
    first_trade_id,
    last_trade_id,
    first_fill_id,
    last_fill_id,
    toInt64(revision) AS agg_trades,
    reinterpret(quote_rounding, 'Int64') AS quote_roundings
FROM candles FINAL
WHERE has({intervals:Array(String)}, interval)
  AND symbol = {symbol:String}
  AND open_time >= fromUnixTimestamp64Milli({start:Int64})
  AND open_time < fromUnixTimestamp64Milli({end:Int64})
ORDER BY interval, open_time
