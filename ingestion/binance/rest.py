"""Binance's REST API for market data: questions asked within the exchange's weight limit.

No call waits for room in the limit: it raises ``ExchangeBusy`` with the seconds to wait, so that a role
can go on with something else and stop when asked to.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import httpx2
import msgspec

from ingestion.binance.errors import (
    BadAnswer,
    BadRequest,
    ExchangeAway,
    ExchangeBusy,
    ExchangeError,
    RegionRefused,
    WeightSpent,
)
from ingestion.binance.weight import WeightBudget
from ingestion.pipeline.parse import klines_from_rest, trades_from_rest
from ingestion.pipeline.records import Kline, Trade
from markets.types import to_scaled

__all__ = [
    "BadAnswer",
    "BadRequest",
    "BinanceRest",
    "ExchangeAway",
    "ExchangeBusy",
    "ExchangeError",
    "RegionRefused",
    "SymbolInfo",
]

MAX_ROWS: Final = 1_000

_WEIGHTS: Final = {"time": 1, "exchangeInfo": 20, "aggTrades": 4, "klines": 2}
_USED_WEIGHT: Final = "X-MBX-USED-WEIGHT-1M"
_RATE_LIMITED: Final = (429, 418)
_REGION_REFUSED: Final = (403, 451)
# Without a Retry-After: the shortest ban lasts two minutes, the weight window one.
_RETRY_AFTER_S: Final = {429: 60.0, 418: 120.0}
# Codes that mean "not now" although the status says 400.
_BUSY_CODES: Final = {-1003: 60.0, -1008: 5.0}

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SymbolInfo:
    """A symbol as ``exchangeInfo`` tells it. Steps are scaled by 10**8; 0 when the exchange names none."""

    symbol: str
    base: str
    quote: str
    status: str
    tick_size: int
    step_size: int


class _Time(msgspec.Struct):
    serverTime: int  # noqa: N815 the exchange's own name


class _Filter(msgspec.Struct):
    filterType: str  # noqa: N815
    tickSize: str = "0"  # noqa: N815
    stepSize: str = "0"  # noqa: N815


class _Symbol(msgspec.Struct):
    symbol: str
    status: str
    baseAsset: str  # noqa: N815
    quoteAsset: str  # noqa: N815
    filters: list[_Filter] = []


class _RateLimit(msgspec.Struct):
    rateLimitType: str  # noqa: N815
    interval: str
    intervalNum: int  # noqa: N815
    limit: int


class _Info(msgspec.Struct):
    symbols: list[_Symbol]
    rateLimits: list[_RateLimit] = []  # noqa: N815


class _Error(msgspec.Struct):
    code: int = 0
    msg: str = ""


class BinanceRest:
    """Asks one exchange; may be shared by threads. Every method may raise each ExchangeError.

    ``weight_share``: how much of the address's weight limit may be used when this object asks. A role
    with much to fetch takes less, and so leaves room for the short questions of the others.
    ``clock``: the machine's, in epoch seconds.
    """

    def __init__(
        self,
        base_url: str,
        *,
        timeout_s: float = 10.0,
        weight_share: float = 0.9,
        clock: Callable[[], float] = time.time,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._clock = clock
        self._budget = WeightBudget(share=weight_share)
        self._client = httpx2.Client(timeout=timeout_s, transport=transport)

    def server_time(self) -> int:
        """The exchange's clock, epoch ms."""
        return self._get("time", {}, lambda body: msgspec.json.decode(body, type=_Time).serverTime)

    def exchange_info(self) -> list[SymbolInfo]:
        """Every symbol of the exchange. Also learns the exchange's present weight limit."""
        info = self._info({})
        return [_symbol_info(symbol) for symbol in info.symbols]

    def learn_limits(self, symbol: str) -> None:
        """Learn the exchange's present weight limit, without every symbol that it lists."""
        self._info({"symbol": symbol})

    def _info(self, query: dict[str, str | int | None]) -> _Info:
        info = self._get("exchangeInfo", query, lambda body: msgspec.json.decode(body, type=_Info))
        for limit in info.rateLimits:
            if (limit.rateLimitType, limit.interval, limit.intervalNum) == ("REQUEST_WEIGHT", "MINUTE", 1):
                self._budget.set_limit(limit.limit)
        return info

    def agg_trades(
        self,
        symbol: str,
        *,
        from_id: int | None = None,
        start_time: int | None = None,
        end_time: int | None = None,
        limit: int = MAX_ROWS,
    ) -> list[Trade]:
        """Trades by id (``from_id`` inclusive), by trade time (ms, both ends inclusive), or the newest, ascending.

        With an end and no start they are the last ones up to it. Ids below the exchange's reach answer the first
        that it has stored.
        """
        query = {"symbol": symbol, "fromId": from_id, "startTime": start_time, "endTime": end_time, "limit": limit}
        return self._get("aggTrades", query, lambda body: trades_from_rest(body, symbol, int(self._clock() * 1000)))

    def klines(
        self,
        symbol: str,
        interval: str,
        *,
        start_time: int | None = None,
        end_time: int | None = None,
        limit: int = MAX_ROWS,
    ) -> list[Kline]:
        """Klines by open time (ms, both ends inclusive), ascending; the last one may still be running."""
        query = {
            "symbol": symbol,
            "interval": interval,
            "startTime": start_time,
            "endTime": end_time,
            "limit": limit,
        }
        return self._get("klines", query, lambda body: klines_from_rest(body, symbol, interval))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _get(self, path: str, query: dict[str, str | int | None], read: Callable[[bytes], T]) -> T:
        wait_s = self._budget.spend(_WEIGHTS[path], self._clock())
        if wait_s:
            raise WeightSpent(wait_s, "the weight of this minute is spent")
        sent = {name: value for name, value in query.items() if value is not None}
        try:
            response = self._client.get(f"{self._base_url}/api/v3/{path}", params=sent)
        except httpx2.RequestError as error:
            raise ExchangeAway(f"{self._base_url}: {error or type(error).__name__}") from error
        self._budget.learn(_as_int(response.headers.get(_USED_WEIGHT)), self._clock())
        self._refuse(response)
        try:
            return read(response.content)
        except ValueError as error:  # includes msgspec's errors
            raise BadAnswer(f"{path}: the answer is unreadable: {error}") from error

    def _refuse(self, response: httpx2.Response) -> None:
        """Raise what an answer other than 200 means."""
        status = response.status_code
        if status == 200:
            return
        if status in _RATE_LIMITED:
            self._rest_for(_as_int(response.headers.get("Retry-After")) or _RETRY_AFTER_S[status], f"HTTP {status}")
        if status in _REGION_REFUSED:
            raise RegionRefused(f"{self._base_url} refuses this region or address (HTTP {status})")
        error = _read_error(response.content)
        if error.code in _BUSY_CODES:
            self._rest_for(_BUSY_CODES[error.code], error.msg)
        if 400 <= status < 500:
            raise BadRequest(error.code, error.msg or f"HTTP {status}")
        raise ExchangeAway(f"{self._base_url}: HTTP {status} {error.msg}".rstrip())

    def _rest_for(self, seconds: float, why: str) -> None:
        self._budget.rest(self._clock() + seconds)
        raise ExchangeBusy(seconds, why)


def _symbol_info(symbol: _Symbol) -> SymbolInfo:
    by_type = {item.filterType: item for item in symbol.filters}
    price, lot = by_type.get("PRICE_FILTER"), by_type.get("LOT_SIZE")
    return SymbolInfo(
        symbol=symbol.symbol,
        base=symbol.baseAsset,
        quote=symbol.quoteAsset,
        status=symbol.status,
        tick_size=to_scaled(price.tickSize) if price else 0,
        step_size=to_scaled(lot.stepSize) if lot else 0,
    )


def _read_error(body: bytes) -> _Error:
    try:
        return msgspec.json.decode(body, type=_Error)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return _Error()


def _as_int(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() else None
