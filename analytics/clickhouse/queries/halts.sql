-- Runs of minutes that are stored as empty and of which the exchange has no kline, the newest first.
SELECT min(minute) AS first, max(minute) + 60000 AS after
FROM
(
    SELECT minute, minute - 60000 * row_number() OVER (ORDER BY minute) AS run
    FROM
    (
        SELECT toUnixTimestamp64Milli(open_time) AS minute
        FROM candles FINAL
        WHERE interval = '1m'
          AND symbol = {symbol:String}
          AND open_time >= fromUnixTimestamp64Milli({start:Int64})
          AND open_time < fromUnixTimestamp64Milli({end:Int64})
          AND revision = 0
          AND open_time NOT IN
          (
              SELECT open_time
              FROM klines
              WHERE interval = '1m'
                AND symbol = {symbol:String}
                AND open_time >= fromUnixTimestamp64Milli({start:Int64})
                AND open_time < fromUnixTimestamp64Milli({end:Int64})
          )
    )
)
GROUP BY run
ORDER BY first DESC
LIMIT {most:UInt32}
