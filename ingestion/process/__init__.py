"""The processor: raw_trades in; enriched trades, candles, coverage and its own state out, in one commit."""
