"""The rows of the archive's CSV files: bytes to trades and klines.

Spot files have no header row, but some of the exchange's files do. Times are milliseconds, from 2025 on microseconds:
``to_ms`` tells them by their magnitude and cuts them down.
"""

from typing import Final

from ingestion.pipeline.parse import to_ms
from ingestion.pipeline.records import Kline, Reason, Rejected, Trade
from ingestion.pipeline.validate import why_impossible
from markets.types import to_scaled

SOURCE: Final = "archive"
_TRADE_FIELDS: Final = 7
_KLINE_FIELDS: Final = 11
_TRUTH: Final = {"True": True, "False": False, "true": True, "false": False}


def parse_trade(line: bytes, symbol: str, ingest_ts: int) -> Trade | Rejected:
    """One row ``a,p,q,f,l,T,m,M`` of an aggTrades file. Never raises.

    >>> parse_trade(b"7,0.5,2.00000000,9,9,1735689600010866,True,True", "BTCUSDT", 0).trade_time
    1735689600010
    """
    fields = _fields(line)
    if len(fields) < _TRADE_FIELDS:
        return Rejected(Reason.MISSING_FIELD, f"{len(fields)} fields, not {_TRADE_FIELDS} or more", line)
    try:
        trade = Trade(
            symbol=symbol,
            trade_id=int(fields[0]),
            price=to_scaled(fields[1]),
            qty=to_scaled(fields[2]),
            first_id=int(fields[3]),
            last_id=int(fields[4]),
            trade_time=to_ms(int(fields[5])),
            is_buyer_maker=_TRUTH[fields[6]],
            source=SOURCE,
            ingest_ts=ingest_ts,
        )
    except (ValueError, KeyError, ArithmeticError) as error:
        return Rejected(Reason.BAD_NUMBER, str(error), line)
    problem = why_impossible(trade)
    return Rejected(Reason.IMPOSSIBLE, problem, line) if problem else trade


def parse_kline(line: bytes, symbol: str, interval: str) -> Kline | Rejected:
    """One row of a klines file, the twelve fields of REST. Never raises. Archive rows carry no fill ids: -1.

    ``recheck``: it does not pass the processor, so the candle must be compared with it by others.
    """
    fields = _fields(line)
    if len(fields) < _KLINE_FIELDS:
        return Rejected(Reason.MISSING_FIELD, f"{len(fields)} fields, not {_KLINE_FIELDS} or more", line)
    try:
        kline = _kline(fields, symbol, interval)
    except (ValueError, ArithmeticError) as error:
        return Rejected(Reason.BAD_NUMBER, str(error), line)
    problem = why_impossible(kline)
    return Rejected(Reason.IMPOSSIBLE, problem, line) if problem else kline


def _kline(fields: list[str], symbol: str, interval: str) -> Kline:
    close_time = to_ms(int(fields[6]))
    return Kline(
        symbol=symbol,
        interval=interval,
        open_time=to_ms(int(fields[0])),
        close_time=close_time,
        open=to_scaled(fields[1]),
        high=to_scaled(fields[2]),
        low=to_scaled(fields[3]),
        close=to_scaled(fields[4]),
        volume=to_scaled(fields[5]),
        quote_volume=to_scaled(fields[7]),
        trades=int(fields[8]),
        taker_buy_volume=to_scaled(fields[9]),
        taker_buy_quote_volume=to_scaled(fields[10]),
        first_fill_id=-1,
        last_fill_id=-1,
        closed=True,
        source=SOURCE,
        event_time=close_time,
        recheck=True,
    )


def _fields(line: bytes) -> list[str]:
    # Latin-1 takes every byte: what is no number is turned away field by field.
    return line.decode("latin-1").rstrip("\r\n").split(",")
