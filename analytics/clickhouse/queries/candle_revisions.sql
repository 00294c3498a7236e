-- Every record of one minute from a place in the log on, in order. Amounts are scaled by 10**8, times are epoch ms.
SELECT
    seq,
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
    reinterpret(quote_rounding, 'Int64') AS quote_roundings,
    state,
    reason,
    toUnixTimestamp64Milli(known_at) AS known,
    missing,
    difference
FROM candle_journal FINAL
WHERE symbol = {symbol:String}
  AND open_time = fromUnixTimestamp64Milli({open_time:Int64})
  AND seq >= {since:UInt64}
ORDER BY seq
LIMIT {limit:UInt32}
