-- By UTC day of a span, counted from the epoch: the newest stored record of its minutes, and the newest change of ids
-- next to trades of it. What is stored later has a larger seq. A gap that is only asked for changes nothing.
SELECT day, max(candles) AS candles_seq, max(coverage) AS coverage_seq
FROM
(
    SELECT intDiv(toUnixTimestamp64Milli(open_time), 86400000) AS day, toInt64(max(seq)) AS candles, 0 AS coverage
    FROM candle_journal
    WHERE symbol = {symbol:String}
      AND open_time >= fromUnixTimestamp64Milli({start:Int64})
      AND open_time < fromUnixTimestamp64Milli({end:Int64})
    GROUP BY day
    UNION ALL
    SELECT arrayJoin(range(first, last + 1)) AS day, 0 AS candles, newest AS coverage
    FROM
    (
        SELECT
            intDiv(toUnixTimestamp64Milli(assumeNotNull(coalesce(from_time, to_time))), 86400000) AS first,
            intDiv(toUnixTimestamp64Milli(assumeNotNull(to_time)), 86400000) AS last,
            toInt64(max(seq)) AS newest
        FROM coverage_events
        WHERE symbol = {symbol:String}
          AND kind IN ('gap_opened', 'gap_closed', 'tail_closed', 'hole')
          AND to_time >= fromUnixTimestamp64Milli({start:Int64})
        GROUP BY first, last
    )
)
WHERE day >= intDiv({start:Int64}, 86400000) AND day < intDiv({end:Int64} + 86399999, 86400000)
GROUP BY day
