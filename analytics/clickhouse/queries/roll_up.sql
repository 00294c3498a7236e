-- Minutes merged into larger buckets and kept as a cache: first, last, max, min and sums, as the pipeline's
-- roll_up does. A bucket of empty minutes only stays empty, flat at the last of their prices.
INSERT INTO candles
    (interval, symbol, open_time, open, high, low, close, volume, quote_volume, trades, taker_buy_volume,
     taker_buy_quote_volume, first_trade_id, last_trade_id, first_fill_id, last_fill_id, revision,
     quote_rounding, known_at)
SELECT
    {interval:String},
    minute.symbol,
    fromUnixTimestamp64Milli(intDiv(toUnixTimestamp64Milli(minute.open_time), {width:Int64}) * {width:Int64}) AS bucket,
    if(sum(minute.revision) = 0, argMax(minute.close, minute.open_time), argMinIf(minute.open, minute.open_time, minute.revision > 0)),
    if(sum(minute.revision) = 0, argMax(minute.close, minute.open_time), maxIf(minute.high, minute.revision > 0)),
    if(sum(minute.revision) = 0, argMax(minute.close, minute.open_time), minIf(minute.low, minute.revision > 0)),
    if(sum(minute.revision) = 0, argMax(minute.close, minute.open_time), argMaxIf(minute.close, minute.open_time, minute.revision > 0)),
    sum(minute.volume),
    sum(minute.quote_volume),
    sum(minute.trades),
    sum(minute.taker_buy_volume),
    sum(minute.taker_buy_quote_volume),
    min(minute.first_trade_id),
    max(minute.last_trade_id),
    argMinIf(minute.first_fill_id, minute.open_time, minute.revision > 0),
    argMaxIf(minute.last_fill_id, minute.open_time, minute.revision > 0),
    sum(minute.revision),
    sum(minute.quote_rounding),
    max(minute.known_at)
FROM candles AS minute FINAL
WHERE minute.interval = '1m'
  AND minute.symbol = {symbol:String}
  AND minute.open_time >= fromUnixTimestamp64Milli({start:Int64})
  AND minute.open_time < fromUnixTimestamp64Milli({end:Int64})
  AND has({buckets:Array(Int64)}, intDiv(toUnixTimestamp64Milli(minute.open_time), {width:Int64}) * {width:Int64})
GROUP BY minute.symbol, bucket
