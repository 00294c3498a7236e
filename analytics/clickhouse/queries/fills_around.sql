-- The last fill held below a run of ids and the first one above; null where none is. Ids taken back have no fills.
SELECT
    (
        SELECT last_id FROM trades_enriched
        WHERE symbol = {symbol:String} AND trade_id < {from_id:Int64} AND trade_id >= {from_id:Int64} - 1000 AND first_id >= 0
        ORDER BY trade_id DESC LIMIT 1
    ) AS below,
    (
        SELECT first_id FROM trades_enriched
        WHERE symbol = {symbol:String} AND trade_id > {to_id:Int64} AND trade_id <= {to_id:Int64} + 1000 AND first_id >= 0
        ORDER BY trade_id LIMIT 1
    ) AS above
