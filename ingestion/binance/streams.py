"""Which streams to subscribe, on which connection, in which messages. Pure: plain data in, plain data out.

The exchange allows 1024 streams on a connection. Ingest takes two of a symbol, and both on one connection, so
that a symbol's kline frames and its trades come in the exchange's own order; other feeds name their own.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

MAX_STREAMS = 1024
STREAMS_PER_SYMBOL = 2
# Very long lists were dropped in silence by the exchange (BINANCE.md A2.4): 100 streams stay near 2 kB.
SYMBOLS_PER_MESSAGE = 50
KLINE_INTERVAL = "1m"

# One malformed name in a SUBSCRIBE closes the whole connection, so no such name is ever sent.
_SYMBOL = re.compile(r"[\w.\-&]{1,50}")


def stream_names(symbol: str) -> tuple[str, ...]:
    """The two streams of a symbol that ingest reads; the exchange wants them in lower case.

    >>> stream_names("BTCUSDT")
    ('btcusdt@aggTrade', 'btcusdt@kline_1m')
    """
    name = symbol.lower()
    return f"{name}@aggTrade", f"{name}@kline_{KLINE_INTERVAL}"


StreamNames = Callable[[str], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Request:
    """One control message: ``symbols`` are the ones it asks for or gives up."""

    request_id: int
    method: str
    symbols: tuple[str, ...]
    names: StreamNames = stream_names

    def encode(self) -> str:
        """The text frame to send.

        >>> Request(1, "SUBSCRIBE", ("BTCUSDT",)).encode()
        '{"method":"SUBSCRIBE","params":["btcusdt@aggTrade","btcusdt@kline_1m"],"id":1}'
        """
        params = [name for symbol in self.symbols for name in self.names(symbol)]
        body = {"method": self.method, "params": params, "id": self.request_id}
        return json.dumps(body, separators=(",", ":"), ensure_ascii=False)


def is_subscribable(symbol: str) -> bool:
    """True when the symbol makes a well-formed stream name."""
    return _SYMBOL.fullmatch(symbol) is not None


Plan = Mapping[int, frozenset[str]]


def plan(
    current: Plan, wanted: Iterable[str], max_streams: int = MAX_STREAMS, per_symbol: int = STREAMS_PER_SYMBOL
) -> dict[int, frozenset[str]]:
    """Which connection (by number) carries which symbols; connections without symbols are left out.

    Symbols stay where they are, so a change touches nobody else. New ones fill the connections that
    have room, in order, then open further ones. Malformed symbols are left out.
    """
    room = max_streams // per_symbol
    wanted_now = {symbol for symbol in wanted if is_subscribable(symbol)}
    kept = {number: set(symbols & wanted_now) for number, symbols in current.items()}
    placed = set().union(*kept.values()) if kept else set()
    number = 0
    for symbol in sorted(wanted_now - placed):
        while len(kept.setdefault(number, set())) >= room:
            number += 1
        kept[number].add(symbol)
    return {number: frozenset(symbols) for number, symbols in kept.items() if symbols}


@dataclass(frozen=True, slots=True)
class Change:
    """The difference between what a connection carries and what it should carry, sorted."""

    subscribe: tuple[str, ...] = ()
    unsubscribe: tuple[str, ...] = ()


def difference(carried: Iterable[str], wanted: Iterable[str]) -> Change:
    """What to subscribe and to unsubscribe."""
    has, should = set(carried), set(wanted)
    return Change(tuple(sorted(should - has)), tuple(sorted(has - should)))


def requests(method: str, symbols: Sequence[str], first_id: int, names: StreamNames = stream_names) -> list[Request]:
    """The control messages for these symbols, with consecutive ids; a symbol's streams stay in one message."""
    return [
        Request(first_id + index, method, tuple(symbols[start : start + SYMBOLS_PER_MESSAGE]), names)
        for index, start in enumerate(range(0, len(symbols), SYMBOLS_PER_MESSAGE))
    ]
