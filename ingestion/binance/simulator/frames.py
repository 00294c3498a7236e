"""The stream's JSON: compact text, amounts as strings with eight decimals, fields in the exchange's order."""

import re

from ingestion.binance.simulator.bars import Bar
from ingestion.binance.simulator.rows import Row, Spec, fill_quantities
from markets.types import to_text

_BOOLS = ("false", "true")
# Thirteen digits are a time in milliseconds: no id and no count comes near for a century.
_TIME = re.compile(r'"([ETt])":(\d{13})(?=[,}])')


def agg_trade(symbol: str, row: Row) -> str:
    """The ``aggTrade`` event."""
    return (
        f'{{"e":"aggTrade","E":{row.event_time},"s":"{symbol}","a":{row.trade_id},'
        f'"p":"{to_text(row.price)}","q":"{to_text(row.qty)}","f":{row.first_id},"l":{row.last_id},'
        f'"T":{row.trade_time},"m":{_BOOLS[row.is_buyer_maker]},"M":true}}'
    )


def fills(spec: Spec, row: Row) -> list[str]:
    """The ``trade`` events of the row's fills."""
    if row.first_id < 0:
        return []
    return [
        f'{{"e":"trade","E":{row.event_time},"s":"{spec.symbol}","t":{row.first_id + place},'
        f'"p":"{to_text(row.price)}","q":"{to_text(qty)}","T":{row.trade_time},'
        f'"m":{_BOOLS[row.is_buyer_maker]},"M":true}}'
        for place, qty in enumerate(fill_quantities(row, spec.step))
    ]


def kline(symbol: str, interval: str, bar: Bar, span: tuple[int, int], *, event_time: int, closed: bool) -> str:
    """The ``kline`` event; ``span``: open time and close time of the bucket."""
    return (
        f'{{"e":"kline","E":{event_time},"s":"{symbol}","k":{{"t":{span[0]},"T":{span[1]},'
        f'"s":"{symbol}","i":"{interval}","f":{bar.first_id},"L":{bar.last_id},'
        f'"o":"{to_text(bar.open)}","c":"{to_text(bar.close)}","h":"{to_text(bar.high)}",'
        f'"l":"{to_text(bar.low)}","v":"{to_text(bar.volume)}","n":{bar.trades},'
        f'"x":{_BOOLS[closed]},"q":"{to_text(bar.quote)}","V":"{to_text(bar.buy_volume)}",'
        f'"Q":"{to_text(bar.buy_quote)}","B":"0"}}}}'
    )


def shutdown(event_time: int) -> str:
    """The event that announces the end of a connection."""
    return f'{{"e":"serverShutdown","E":{event_time}}}'


def combined(stream: str, payload: str) -> str:
    """The wrapper of combined streams."""
    return f'{{"stream":"{stream}","data":{payload}}}'


def in_microseconds(payload: str) -> str:
    """The same event for a connection that asked for ``timeUnit=MICROSECOND``."""
    is_kline = payload.startswith('{"e":"kline"')
    return _TIME.sub(
        lambda found: f'"{found[1]}":{found[2]}{"999" if is_kline and found[1] == "T" else "000"}',
        payload,
    )
