-- The open times of the first closed kline from a time on, and of the newest of all; null where there is none.
SELECT
    (
        SELECT toNullable(toUnixTimestamp64Milli(open_time))
        FROM klines
        WHERE interval = {interval:String}
          AND symbol = {symbol:String}
          AND open_time >= fromUnixTimestamp64Milli({start:Int64})
          AND closed = 1
        ORDER BY open_time
        LIMIT 1
    ) AS first_ms,
    (
        SELECT toNullable(toUnixTimestamp64Milli(open_time))
        FROM klines
        WHERE interval = {interval:String} AND symbol = {symbol:String} AND closed = 1
        ORDER BY open_time DESC
        LIMIT 1
    ) AS newest_ms
