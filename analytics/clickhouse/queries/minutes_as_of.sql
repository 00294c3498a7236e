-- Minutes one by one as they were known at a time: of each the version with the most trades, and the newest verdict on
-- that version. Amounts come as integers scaled by 10**8, times as epoch ms. Repeated rows are harmless: no FINAL.
-- minutes / inside: only these minutes (1), or all but these (0). keep: minutes to answer even when empty.
WITH known AS
(
    SELECT
        toUnixTimestamp64Milli(open_time) AS minute,
        argMax(
            tuple(open, high, low, close, volume, quote_volume, trades, taker_buy_volume, taker_buy_quote_volume,
                  first_trade_id, last_trade_id, first_fill_id, last_fill_id, revision, quote_rounding),
            (revision, seq)) AS version,
        -- The first record of a version: its verdicts came later.
        argMax(known_at, (revision, -toInt64(seq))) AS since,
        argMaxIf(tuple(revision, state, difference), (revision, seq), state IN ('certified', 'disputed')) AS judged
    FROM candle_journal
    WHERE symbol = {symbol:String}
      AND open_time >= fromUnixTimestamp64Milli({start:Int64})
      AND open_time < fromUnixTimestamp64Milli({end:Int64})
      AND known_at <= fromUnixTimestamp64Milli({as_of:Int64})
      AND has({minutes:Array(Int64)}, minute) = {inside:Bool}
    GROUP BY open_time
)
SELECT
    minute,
    reinterpret(version.1, 'Int64') AS first_price,
    reinterpret(version.2, 'Int64') AS highest,
    reinterpret(version.3, 'Int64') AS lowest,
    reinterpret(version.4, 'Int64') AS last_price,
    reinterpret(version.5, 'Int128') AS volumes,
    reinterpret(version.6, 'Int128') AS quote_volumes,
    version.7 AS fills,
    reinterpret(version.8, 'Int128') AS taker_buy_volumes,
    reinterpret(version.9, 'Int128') AS taker_buy_quote_volumes,
    version.10 AS first_trade,
    version.11 AS last_trade,
    version.12 AS first_fill,
    version.13 AS last_fill,
    toInt64(version.14) AS agg_trades,
    reinterpret(version.15, 'Int64') AS quote_roundings,
    toUnixTimestamp64Milli(since) AS known_since,
    if(judged.1 = version.14, judged.2, '') AS verdict,
    if(judged.1 = version.14, judged.3, '') AS differences
FROM known
WHERE {with_empty:Bool} OR agg_trades > 0 OR has({keep:Array(Int64)}, minute)
ORDER BY if({newest:Bool}, -minute, minute)
LIMIT {limit:UInt32}
