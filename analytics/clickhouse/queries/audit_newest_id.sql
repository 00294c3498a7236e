-- The newest stored id of a symbol; null without any.
SELECT maxOrNull(trade_id) AS newest FROM trades_enriched WHERE symbol = {symbol:String}
