"""What can be said of a trade alone: notional, the taker's side, the trading session, the day."""

import datetime as dt
from functools import lru_cache

from ingestion.pipeline.records import Enriched, Trade
from markets.types import DAY_MS, HOUR_MS, Asset

# UTC trading sessions by the hour in which the trade happened.
_SESSIONS = ("asia",) * 8 + ("europe",) * 8 + ("america",) * 8


def enrich(trade: Trade, asset: Asset, known_at: int, late: bool) -> Enriched:
    """The record of ``enriched_trades`` for a trade that became known when the feed's clock stood at ``known_at``."""
    return Enriched(
        trade,
        asset.base,
        asset.quote,
        trade.price * trade.qty,
        # The buyer being the maker means that the taker sold.
        "sell" if trade.is_buyer_maker else "buy",
        _SESSIONS[trade.trade_time % DAY_MS // HOUR_MS],
        None if trade.event_time is None else trade.ingest_ts - trade.event_time,
        _day_text(trade.trade_time // DAY_MS),
        known_at,
        late,
    )


@lru_cache(maxsize=64)
def _day_text(day: int) -> str:
    return (dt.date(1970, 1, 1) + dt.timedelta(days=day)).isoformat()
