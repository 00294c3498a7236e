"""A connection's control messages: text in, reply and changes out. No socket here."""

from dataclasses import dataclass, field
from typing import Any

import msgspec

from ingestion.binance.simulator.calendar import MALFORMED

MOST_STREAMS = 1024
_METHODS = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")
_LONGEST_ID = 36
_UNKNOWN_PROPERTY, _WRONG_TYPE, _INVALID, _NOT_JSON, _TOO_MANY = range(5)


@dataclass(frozen=True, slots=True)
class Reply:
    """What to answer, and which streams the connection reads anew or no more."""

    text: str
    subscribed: list[str] = field(default_factory=list)
    unsubscribed: list[str] = field(default_factory=list)
    closes: bool = False


class Refused(Exception):
    """A request that gets an error: the exchange's code and words."""

    def __init__(self, code: int, msg: str, *, closes: bool = False) -> None:
        super().__init__(msg)
        self.code, self.msg, self.closes = code, msg, closes


class Talk:
    """What one connection has asked for. ``streams`` keeps the order of asking."""

    def __init__(self, *, combined: bool, microseconds: bool = False) -> None:
        self.combined = combined
        self.microseconds = microseconds
        self.streams: dict[str, None] = {}

    def hear(self, text: str) -> Reply:
        """Take one message of the client."""
        request: Any = None
        try:
            request = msgspec.json.decode(text)
            return self._obey(request)
        except msgspec.DecodeError as error:
            return _error(_NOT_JSON, f"Invalid JSON: {error}", None)
        except Refused as refused:
            identity = request.get("id") if isinstance(request, dict) else None
            return _error(refused.code, refused.msg, identity, closes=refused.closes)

    def subscribe(self, names: list[str]) -> list[str]:
        """Take streams; those that are new come back. Raises Refused, and then takes none."""
        for name in names:
            if MALFORMED.search(name):
                raise Refused(_INVALID, "Invalid request: invalid stream", closes=True)
        new = [name for name in dict.fromkeys(names) if name not in self.streams]
        if len(self.streams) + len(new) > MOST_STREAMS:
            raise Refused(_TOO_MANY, "Too many subscriptions")
        self.streams.update(dict.fromkeys(new))
        return new

    def _obey(self, request: Any) -> Reply:
        method, params, identity = _read(request)
        if method == "SUBSCRIBE":
            new = self.subscribe(_names(params))
            return Reply(_result(None, identity), subscribed=new)
        if method == "UNSUBSCRIBE":
            gone = [name for name in _names(params) if name in self.streams]
            for name in gone:
                self.streams.pop(name, None)
            return Reply(_result(None, identity), unsubscribed=gone)
        if method == "LIST_SUBSCRIPTIONS":
            return Reply(_result(list(self.streams), identity))
        return Reply(_result(self._property(method, params), identity))

    def _property(self, method: str, params: Any) -> bool | None:
        if not isinstance(params, list) or not params or not isinstance(params[0], str):
            raise Refused(_INVALID, "Invalid request: property name must be a string")
        if len(params) > (2 if method == "SET_PROPERTY" else 1):
            raise Refused(_INVALID, "Invalid request: too many parameters")
        if params[0] != "combined":
            raise Refused(_UNKNOWN_PROPERTY, "Unknown property")
        if method == "GET_PROPERTY":
            return self.combined
        if len(params) < 2 or not isinstance(params[1], bool):
            raise Refused(_WRONG_TYPE, "Invalid value type: expected Boolean")
        self.combined = params[1]
        return None


def _read(request: Any) -> tuple[str, Any, Any]:
    if not isinstance(request, dict) or "method" not in request:
        raise Refused(_INVALID, "Invalid request: missing field `method` at line 1 column 1")
    method, identity = request["method"], request.get("id")
    if method not in _METHODS:
        expected = ", ".join(f"`{known}`" for known in _METHODS)
        raise Refused(_INVALID, f"Invalid request: unknown variant `{method}`, expected one of {expected}")
    if not _is_id(identity):
        request["id"] = None
        raise Refused(_INVALID, "Invalid request: request ID must be an unsigned integer")
    return method, request.get("params"), identity


def _is_id(identity: Any) -> bool:
    if isinstance(identity, bool):
        return False
    if isinstance(identity, int):
        return -(2**63) <= identity < 2**63
    return identity is None or (isinstance(identity, str) and len(identity) <= _LONGEST_ID)


def _names(params: Any) -> list[str]:
    if not isinstance(params, list) or not all(isinstance(name, str) for name in params):
        raise Refused(_INVALID, "Invalid request: params must be an array of stream names")
    return params


def _result(result: Any, identity: Any) -> str:
    return msgspec.json.encode({"result": result, "id": identity}).decode()


def _error(code: int, msg: str, identity: Any, *, closes: bool = False) -> Reply:
    body = {"error": {"code": code, "msg": msg}, "id": identity}
    return Reply(msgspec.json.encode(body).decode(), closes=closes)
