-- The last trades of a span that were known at a time, newest first.
SELECT
    trade_id,
    reinterpret(price, 'Int64') AS price_scaled,
    reinterpret(qty, 'Int128') AS qty_scaled,
    first_id,
    last_id,
    toUnixTimestamp64Milli(trade_time) AS trade_ms,
    is_buyer_maker,
    source,
    trade_ms + ingest_lag AS ingest_ms,
    trade_ms + event_lag AS event_ms,
    base,
    quote,
    side,
    session,
    latency_ms,
    toString(trade_day) AS day,
    trade_ms + known_lag AS known_ms,
    late
FROM trades_enriched FINAL
WHERE symbol = {symbol:String}
  AND trade_id >= {from_id:Int64}
  AND trade_time >= fromUnixTimestamp64Milli({start:Int64})
  AND trade_time < fromUnixTimestamp64Milli({end:Int64})
  AND first_id >= 0
  AND known_ms <= {as_of:Int64}
ORDER BY trade_id DESC
LIMIT {limit:UInt32}
