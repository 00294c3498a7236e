"""Query parameters as the exchange takes them: what is not known, sent twice or badly written is refused."""

import json
import re
from collections.abc import Collection, Mapping, Sequence

from markets.types import HOUR_MS, MINUTE_MS, Interval

_SYMBOL = re.compile(r"[\w\-.]{1,50}")
_SYMBOL_RANGE = r"^[\w\-._&&[^a-z]]{1,50}$"
_NUMBER = re.compile(r"[0-9]{1,20}")
_NUMBER_RANGE = "^[0-9]{1,20}$"
_ZONE = re.compile(r"([+-]?)(\d{1,2})(?::(\d{2}))?")
_MICROSECONDS_FROM = 10**14
_MOST_ROWS = 1000
_DEFAULT_ROWS = 500
_INTERVALS = {interval.value: interval for interval in Interval}


class ApiError(Exception):
    """An answer with the exchange's error body."""

    def __init__(self, code: int, msg: str, *, status: int = 400, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(msg)
        self.code, self.msg, self.status = code, msg, status
        self.headers = dict(headers or {})


class Parameters:
    """One request's parameters. Every reader raises ApiError for what it cannot use."""

    def __init__(self, sent: Sequence[tuple[str, str]], known: Collection[str]) -> None:
        self._values = dict(sent)
        if len(self._values) < len(sent):
            names = [name for name, _ in sent]
            twice = next(name for name in names if names.count(name) > 1)
            raise ApiError(-1101, f"Duplicate values for parameter '{twice}'.")
        read = sum(name in known for name in self._values)
        if read < len(sent):
            raise ApiError(
                -1104,
                f"Not all sent parameters were read; read '{read}' parameter(s) but was sent '{len(sent)}'.",
            )

    def has(self, name: str) -> bool:
        return name in self._values

    def text(self, name: str) -> str:
        """A parameter that must be there."""
        value = self._values.get(name, "")
        if not value:
            raise ApiError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
        return value

    def symbol(self) -> str:
        return _checked_symbol(self.text("symbol"), "symbol")

    def symbols(self) -> list[str] | None:
        """What ``symbol`` or ``symbols`` names; None when neither was sent."""
        if self.has("symbol") and self.has("symbols"):
            raise ApiError(-1128, "Combination of optional parameters invalid.")
        if self.has("symbol"):
            return [self.symbol()]
        if not self.has("symbols"):
            return None
        try:
            names = json.loads(self.text("symbols"))
        except ValueError:
            names = None
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ApiError(-1100, "Illegal characters found in parameter 'symbols'.")
        if len(set(names)) < len(names):
            raise ApiError(-1151, "Symbol is present multiple times in the list.")
        return [_checked_symbol(name, "symbols") for name in names]

    def interval(self) -> Interval:
        interval = _INTERVALS.get(self.text("interval"))
        if interval is None:
            raise ApiError(-1120, "Invalid interval.")
        return interval

    def number(self, name: str) -> int | None:
        """A whole number from 0 up; None when not sent."""
        if not self.has(name):
            return None
        if not _NUMBER.fullmatch(self.text(name)):
            raise _illegal(name, _NUMBER_RANGE)
        return int(self._values[name])

    def time(self, name: str) -> int | None:
        """A time in epoch milliseconds, sent so or in microseconds; None when not sent."""
        time = self.number(name)
        return time // 1000 if time is not None and time >= _MICROSECONDS_FROM else time

    def limit(self) -> int:
        """How many rows: the most allowed where more was asked."""
        limit = self.number("limit")
        if limit == 0:
            raise ApiError(-1130, "Data sent for parameter 'limit' is not valid.")
        return min(limit or _DEFAULT_ROWS, _MOST_ROWS)

    def zone_ms(self) -> int:
        """The offset that ``timeZone`` asks for; 0 when not sent."""
        if not self.has("timeZone"):
            return 0
        found = _ZONE.fullmatch(self.text("timeZone"))
        offset = 0
        if found:
            offset = int(found[2]) * HOUR_MS + int(found[3] or 0) * MINUTE_MS
            offset = -offset if found[1] == "-" else offset
        if not found or not -12 * HOUR_MS <= offset <= 14 * HOUR_MS:
            raise ApiError(-1130, "Data sent for parameter 'timeZone' is not valid.")
        return offset

    def choice(self, name: str, allowed: Sequence[str]) -> str:
        """One of the words; the first when not sent."""
        value = self._values.get(name, allowed[0])
        if value not in allowed:
            raise ApiError(-1130, f"Data sent for parameter '{name}' is not valid.")
        return value


def _checked_symbol(text: str, name: str) -> str:
    if not _SYMBOL.fullmatch(text) or any(letter.islower() for letter in text):
        raise _illegal(name, _SYMBOL_RANGE)
    return text


def _illegal(name: str, legal: str) -> ApiError:
    return ApiError(-1100, f"Illegal characters found in parameter '{name}'; legal range is '{legal}'.")
