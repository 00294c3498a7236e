-- Where the stored ids of a symbol jump, among the newest {reach} ids, and where they end (to_id null).
WITH
    (SELECT max(trade_id) FROM trades_enriched WHERE symbol = {symbol:String}) AS newest,
    stored AS
    (
        SELECT trade_id, any(trade_time) AS time
        FROM trades_enriched
        WHERE symbol = {symbol:String} AND trade_id > newest - {reach:Int64}
        GROUP BY trade_id
    ),
    pairs AS
    (
        SELECT
            trade_id AS below,
            time AS from_time,
            leadInFrame(toNullable(trade_id)) OVER w AS above,
            leadInFrame(toNullable(time)) OVER w AS to_time
        FROM stored
        WINDOW w AS (ORDER BY trade_id ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING)
    )
SELECT
    below + 1 AS from_id,
    above - 1 AS to_id,
    toUnixTimestamp64Milli(from_time) AS from_ms,
    toUnixTimestamp64Milli(to_time) AS to_ms
FROM pairs
WHERE above IS NULL OR above > below + 1
ORDER BY from_id
