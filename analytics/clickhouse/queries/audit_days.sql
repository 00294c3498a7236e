-- The UTC days, counted from the epoch, of which trades of a symbol are stored.
SELECT DISTINCT intDiv(toUnixTimestamp64Milli(trade_time), 86400000) AS day
FROM trades_enriched
WHERE symbol = {symbol:String}
ORDER BY day
