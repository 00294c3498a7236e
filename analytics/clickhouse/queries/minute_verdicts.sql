-- The newest verdict on each revision of the minutes of a span: what the view certifications says, without its price.
SELECT
    toUnixTimestamp64Milli(open_time) AS minute,
    toInt64(revision) AS compared,
    argMax(state, seq) AS newest_state,
    argMax(difference, seq) AS newest_difference
FROM candle_journal
WHERE symbol = {symbol:String}
  AND open_time >= fromUnixTimestamp64Milli({start:Int64})
  AND open_time < fromUnixTimestamp64Milli({end:Int64})
  AND state IN ('certified', 'disputed')
GROUP BY open_time, revision
