-- What was published of each minute of a span, in the order of the log. Repeated rows are harmless: no FINAL.
SELECT
    toUnixTimestamp64Milli(open_time) AS open_ms,
    revision,
    state,
    difference,
    first_trade_id,
    last_trade_id
FROM candle_journal
WHERE symbol = {symbol:String}
  AND open_time >= fromUnixTimestamp64Milli({start:Int64})
  AND open_time < fromUnixTimestamp64Milli({end:Int64})
ORDER BY seq
