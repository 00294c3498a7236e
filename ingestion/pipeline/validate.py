"""The rules a record must keep to be stored. They never look at price or quantity steps: those change over time."""

from ingestion.pipeline.records import Kline, Trade
from markets.types import SCALE

# What the tables hold: prices of 10 integer digits, amounts of 30, ids of 63 bits, times to the year 2286.
_MAX_PRICE = 10**10 * SCALE
_MAX_AMOUNT = 10**28
_MAX_ID = 2**63
_MAX_TIME = 10**13


def why_impossible(record: Trade | Kline) -> str:
    """What is impossible about the record, for a person; empty when nothing is."""
    return _trade_problem(record) if type(record) is Trade else _kline_problem(record)  # type: ignore[arg-type]


def _trade_problem(trade: Trade) -> str:
    if not 0 <= trade.trade_id < _MAX_ID:
        return f"trade id {trade.trade_id} is out of range"
    if not 0 < trade.trade_time < _MAX_TIME:
        return f"trade time {trade.trade_time} is out of range"
    if trade.event_time is not None and not 0 < trade.event_time < _MAX_TIME:
        return f"event time {trade.event_time} is out of range"
    if trade.first_id < 0:
        return _withdrawn_problem(trade)
    if not trade.first_id <= trade.last_id < _MAX_ID:
        return f"fill ids {trade.first_id}..{trade.last_id} do not form a range"
    if not 0 < trade.price < _MAX_PRICE:
        return "the price is not a positive number of at most 10 integer digits"
    if not 0 < trade.qty < _MAX_AMOUNT:
        return "the quantity is not a positive number of at most 20 integer digits"
    return ""


def _withdrawn_problem(trade: Trade) -> str:
    """An id that the exchange took back has p=0, q=0, f=-1, l=-1 (its changelog of 2022-04-12)."""
    if (trade.price, trade.qty, trade.first_id, trade.last_id) == (0, 0, -1, -1):
        return ""
    return f"fill ids {trade.first_id}..{trade.last_id} with a price or quantity"


def _kline_problem(kline: Kline) -> str:
    if not 0 < kline.open_time <= kline.close_time < _MAX_TIME:
        return "the open and close times do not form a range"
    if not 0 < kline.event_time < _MAX_TIME:
        return f"event time {kline.event_time} is out of range"
    prices = (kline.open, kline.high, kline.low, kline.close)
    if not all(0 <= price < _MAX_PRICE for price in prices):
        return "a price is out of range"
    amounts = (
        kline.volume,
        kline.quote_volume,
        kline.taker_buy_volume,
        kline.taker_buy_quote_volume,
    )
    if not all(0 <= amount < _MAX_AMOUNT for amount in amounts) or kline.trades < 0:
        return "a volume or count is out of range"
    return ""
