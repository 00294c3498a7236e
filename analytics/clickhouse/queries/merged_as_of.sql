-- Minutes merged into buckets as merged_candles does, of the versions that were known at a time (minutes_as_of).
-- A test holds that both merge alike. Amounts come as integers scaled by 10**8, times as epoch ms.
-- bucket: (minute - offset_ms) floored to width_ms; width_ms 0 is the calendar month.
-- minutes / inside: only these minutes (1), or all but these (0). keep: buckets to answer even when empty.
WITH
    minutes AS
    (
        SELECT
            toUnixTimestamp64Milli(open_time) AS minute,
            if({width_ms:Int64} = 0,
               toUnixTimestamp(toDateTime(toStartOfMonth(open_time), 'UTC')) * toInt64(1000),
               minute - (minute - {offset_ms:Int64}) % greatest({width_ms:Int64}, 1)) AS bucket,
            open, high, low, close, volume, quote_volume, trades, taker_buy_volume, taker_buy_quote_volume,
            first_trade_id, last_trade_id, first_fill_id, last_fill_id, revision, quote_rounding, known_at
        FROM candle_journal
        WHERE symbol = {symbol:String}
          AND open_time >= fromUnixTimestamp64Milli({start:Int64})
          AND open_time < fromUnixTimestamp64Milli({end:Int64})
          AND known_at <= fromUnixTimestamp64Milli({as_of:Int64})
          AND has({minutes:Array(Int64)}, minute) = {inside:Bool}
        ORDER BY open_time, revision DESC, seq
        LIMIT 1 BY open_time
    ),
    verdicts AS
    (
        SELECT toUnixTimestamp64Milli(open_time) AS minute, revision, argMax(state, seq) AS verdict
        FROM candle_journal
        WHERE symbol = {symbol:String}
          AND open_time >= fromUnixTimestamp64Milli({start:Int64})
          AND open_time < fromUnixTimestamp64Milli({end:Int64})
          AND known_at <= fromUnixTimestamp64Milli({as_of:Int64})
          AND state IN ('certified', 'disputed')
        GROUP BY open_time, revision
    )
SELECT
    bucket,
    reinterpret(argMinIf(open, minute, revision > 0), 'Int64') AS first_price,
    reinterpret(maxIf(high, revision > 0), 'Int64') AS highest,
    reinterpret(minIf(low, revision > 0), 'Int64') AS lowest,
    reinterpret(argMaxIf(close, minute, revision > 0), 'Int64') AS last_price,
    reinterpret(argMax(close, minute), 'Int64') AS flat_price,
    reinterpret(sum(volume), 'Int128') AS volumes,
    reinterpret(sum(quote_volume), 'Int128') AS quote_volumes,
    sum(trades) AS fills,
    reinterpret(sum(taker_buy_volume), 'Int128') AS taker_buy_volumes,
    reinterpret(sum(taker_buy_quote_volume), 'Int128') AS taker_buy_quote_volumes,
    min(first_trade_id) AS first_trade,
    max(last_trade_id) AS last_trade,
    min(first_fill_id) AS first_fill,
    max(last_fill_id) AS last_fill,
    toInt64(sum(revision)) AS agg_trades,
    reinterpret(sum(quote_rounding), 'Int128') AS quote_roundings,
    toInt64(count()) AS minutes_held,
    toInt64(countIf(verdict = 'certified')) AS certified,
    groupArrayIf(minute, verdict = 'disputed') AS disputed,
    toInt64(sumIf(ifNull(last_trade_id - first_trade_id + 1, 0) - toInt64(revision), verdict = 'certified')) AS excused,
    toUnixTimestamp64Milli(max(known_at)) AS known
FROM minutes
LEFT JOIN verdicts ON minutes.minute = verdicts.minute AND minutes.revision = verdicts.revision
GROUP BY bucket
HAVING {with_empty:Bool} OR agg_trades > 0 OR has({keep:Array(Int64)}, bucket)
ORDER BY if({newest:Bool}, -bucket, bucket)
LIMIT {limit:UInt32}
