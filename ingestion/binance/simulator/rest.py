"""The REST side: endpoints, their weights and parameters, headers and error bodies."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ingestion.binance.simulator.answers import Exchange
from ingestion.binance.simulator.parameters import ApiError, Parameters
from ingestion.binance.simulator.weights import Weights

_JSON = "application/json;charset=UTF-8"
_TIME_FIELDS = frozenset({"T", "time", "serverTime", "openTime", "closeTime"})
_PAGE = ("symbol", "startTime", "endTime", "limit")
_SYMBOLS = ("symbol", "symbols", "symbolStatus")

WeightOf = Callable[[Parameters], int]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """How an answer is made, what it may be asked and what it costs."""

    answer: Callable[[Parameters], Any]
    weight: WeightOf
    known: tuple[str, ...] = ()


class Rest:
    """Answers ``/api/v3/<name>``; called in worker threads."""

    def __init__(self, exchange: Exchange, weights: Weights) -> None:
        self._weights = weights
        klines = Endpoint(exchange.klines, _costs(2), (*_PAGE, "interval", "timeZone"))
        self._endpoints = {
            "ping": Endpoint(exchange.ping, _costs(1)),
            "time": Endpoint(exchange.time, _costs(1)),
            "exchangeInfo": Endpoint(
                exchange.exchange_info,
                _costs(20),
                (*_SYMBOLS, "permissions", "showPermissionSets"),
            ),
            "klines": klines,
            "uiKlines": klines,
            "aggTrades": Endpoint(exchange.agg_trades, _costs(4), (*_PAGE, "fromId")),
            "trades": Endpoint(exchange.trades, _costs(25), ("symbol", "limit")),
            "avgPrice": Endpoint(exchange.average_price, _costs(2), ("symbol",)),
            "ticker/price": Endpoint(exchange.ticker_price, _price_weight, _SYMBOLS),
            "ticker/24hr": Endpoint(exchange.ticker_day, _day_weight, (*_SYMBOLS, "type")),
        }

    def respond(self, request: Request) -> Response:
        """The answer, or the exchange's error body."""
        endpoint = self._endpoints.get(request.path_params["name"])
        if endpoint is None:
            return Response(status_code=404)
        try:
            used, body = self._answer(request, endpoint)
        except ApiError as error:
            failure = msgspec.json.encode({"code": error.code, "msg": error.msg})
            return Response(failure, error.status, {"Content-Type": _JSON, **error.headers})
        weight = str(used)
        headers = {"X-MBX-USED-WEIGHT": weight, "X-MBX-USED-WEIGHT-1M": weight}
        return Response(msgspec.json.encode(body), 200, {"Content-Type": _JSON, **headers})

    def _answer(self, request: Request, endpoint: Endpoint) -> tuple[int, Any]:
        address = request.client.host if request.client else ""
        sent = request.query_params.multi_items()
        used = self._weights.spend(address, endpoint.weight(_lenient(sent)))
        params = _params(sent, endpoint, used)
        try:
            return used, _in_unit(endpoint.answer(params), request)
        except ApiError as error:
            error.headers.setdefault("X-MBX-USED-WEIGHT-1M", str(used))
            raise


def _lenient(sent: list[tuple[str, str]]) -> Parameters:
    """For weighing: a request is paid for before it is judged."""
    values = dict(sent)
    return Parameters(list(values.items()), list(values))


def _params(sent: list[tuple[str, str]], endpoint: Endpoint, used: int) -> Parameters:
    try:
        return Parameters(sent, endpoint.known)
    except ApiError as error:
        error.headers["X-MBX-USED-WEIGHT-1M"] = str(used)
        raise


def _costs(weight: int) -> WeightOf:
    return lambda params: weight


def _price_weight(params: Parameters) -> int:
    return 2 if params.has("symbol") else 4


def _day_weight(params: Parameters) -> int:
    if params.has("symbol"):
        return 2
    if not params.has("symbols"):
        return 80
    count = params.text("symbols").count(",") + 1
    return 2 if count <= 20 else 40 if count <= 100 else 80


def _in_unit(body: Any, request: Request) -> Any:
    """The body with times as the header ``X-MBX-TIME-UNIT`` asks."""
    unit = request.headers.get("X-MBX-TIME-UNIT", "millisecond").lower()
    if unit == "millisecond":
        return body
    if unit != "microsecond":
        raise ApiError(-1194, "Invalid value for time unit; expected either MICROSECOND or MILLISECOND.")
    return _microseconds(body)


def _microseconds(body: Any) -> Any:
    if isinstance(body, dict):
        return {name: value * 1000 if name in _TIME_FIELDS else _microseconds(value) for name, value in body.items()}
    if isinstance(body, list) and len(body) == 12 and isinstance(body[6], int):
        return [body[0] * 1000, *body[1:6], body[6] * 1000 + 999, *body[7:]]
    if isinstance(body, list):
        return [_microseconds(item) for item in body]
    return body
