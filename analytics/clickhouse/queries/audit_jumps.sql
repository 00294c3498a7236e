-- Where the stored ids of from_id..to_id jump: the ids between, and the times of the trades next to them.
WITH pairs AS
(
    SELECT
        trade_id AS below,
        trade_time AS from_time,
        leadInFrame(trade_id, 1, trade_id) OVER ids AS above,
        leadInFrame(trade_time, 1, trade_time) OVER ids AS to_time
    FROM trades_enriched
    WHERE symbol = {symbol:String} AND trade_id >= {from_id:Int64} AND trade_id <= {to_id:Int64}
    WINDOW ids AS (ORDER BY trade_id ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING)
)
SELECT
    below + 1 AS first_id,
    above - 1 AS last_id,
    toUnixTimestamp64Milli(from_time) AS from_ms,
    toUnixTimestamp64Milli(to_time) AS to_ms
FROM pairs
WHERE above > below + 1
ORDER BY first_id
