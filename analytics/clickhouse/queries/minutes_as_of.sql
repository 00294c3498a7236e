-- Minutes one by one as they were known at a time: of each the version with the most trades, and the newest verdict on
-- that version. Amounts come as integers scaled by 10**8, times as epoch ms. Repeated rows are harmless: no FINAL.
-- A version is a function of its trades: its first record says since when it was known, the others are its verdicts.
-- minutes / inside: only these minutes (1), or all but these (0). keep: minutes to answer even when empty.
WITH
    known AS
    (
        SELECT *, toUnixTimestamp64Milli(open_time) AS minute
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
        SELECT
            toUnixTimestamp64Milli(open_time) AS minute,
            revision,
            argMax(state, seq) AS verdict,
            argMax(difference, seq) AS differences
        FROM candle_journal
        WHERE symbol = {symbol:String}
          AND open_time >= fromUnixTimestamp64Milli({start:Int64})
          AND open_time < fromUnixTimestamp64Milli({end:Int64})
          AND known_at <= fromUnixTimestamp64Milli({as_of:Int64})
          AND state IN ('certified', 'disputed')
        GROUP BY open_time, revision
    )
SELECT
    minute,
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
    toUnixTimestamp64Milli(known_at) AS known_since,
    verdict,
    differences
FROM known
LEFT JOIN verdicts ON known.minute = verdicts.minute AND known.revision = verdicts.revision
WHERE {with_empty:Bool} OR agg_trades > 0 OR has({keep:Array(Int64)}, minute)
ORDER BY if({newest:Bool}, -minute, minute)
LIMIT {limit:UInt32}
