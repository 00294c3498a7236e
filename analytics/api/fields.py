"""The types of query parameters. Each says what it allows, in the words of the error and of the schema."""

import datetime as dt
import re
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from drf_spectacular.drainage import set_override
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from analytics.reading.minutes import FOREVER
from markets.types import DAY_MS, HOUR_MS, MINUTE_MS, Interval

MOST_ROWS: Final = 5_000
DEFAULT_ROWS: Final = 500
_MOST_ID: Final = 2**63 - 1

_UNITS: Final = {"m": MINUTE_MS, "h": HOUR_MS, "d": DAY_MS, "w": 7 * DAY_MS}
_WINDOW = re.compile(r"([0-9]{1,6})([mhdw])", re.ASCII)
_SYMBOL = re.compile(r"[A-Z0-9\-_.]{1,40}", re.ASCII)
_DIGITS = re.compile(r"[0-9]{1,19}", re.ASCII)


class Refused(serializers.ValidationError):
    """A value that the parameter does not allow; the query turns it into a problem."""


class Param(serializers.Field):
    """Base of the types: a value is text on its way out (in the schema)."""

    allowed: str | tuple[str, ...] = ""

    def to_representation(self, value: Any) -> str:
        return str(value)


@extend_schema_field({"type": "string", "example": "BTCUSDT", "pattern": "^[A-Za-z0-9._-]{1,40}$"})
class SymbolField(Param):
    """A symbol in either case."""

    allowed = "a symbol as /symbols lists it, e.g. BTCUSDT"

    def to_internal_value(self, data: str) -> str:
        # Symbols may be of any script; only what can be no symbol at all is refused here.
        symbol = data.strip().upper()
        if not _SYMBOL.fullmatch(symbol) and (not symbol.isprintable() or not 0 < len(symbol) <= 40):
            raise Refused("This cannot be a symbol.")
        return symbol


@extend_schema_field({"type": "string", "enum": [interval.value for interval in Interval]})
class IntervalField(Param):
    """A candle's width; case matters (1m is not 1M)."""

    allowed = tuple(interval.value for interval in Interval)

    def to_internal_value(self, data: str) -> Interval:
        try:
            return Interval(data)
        except ValueError:
            raise Refused(f"No interval is named {data[:20]!r}.") from None


@extend_schema_field(
    {
        "oneOf": [{"type": "integer", "format": "int64"}, {"type": "string", "format": "date-time"}],
        "example": 1700000000000,
    }
)
class TimeField(Param):
    """A time, as epoch milliseconds or ISO 8601 (without an offset: UTC)."""

    allowed = "epoch milliseconds, or ISO 8601 such as 2019-05-25T00:00:00Z (no offset: UTC)"

    def to_internal_value(self, data: str) -> int:
        time_ms = int(data) if _DIGITS.fullmatch(data) else _iso_ms(data)
        if not 0 <= time_ms <= FOREVER:
            raise Refused("The time is out of range: milliseconds since 1970 are expected.")
        return time_ms


def _iso_ms(text: str) -> int:
    # An unescaped + of an offset arrives as a space.
    for spelling in (text, "+".join(text.rsplit(" ", 1))):
        try:
            moment = dt.datetime.fromisoformat(spelling)
        except ValueError:
            continue
        aware = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
        return (aware - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(milliseconds=1)
    raise Refused("This is no time.")


class WholeField(Param):
    """A whole number between two bounds."""

    def __init__(self, *, least: int, most: int, **options: Any) -> None:
        super().__init__(**options)
        self.least, self.most = least, most
        self.allowed = f"a whole number from {least} to {most}"
        set_override(self, "field", {"type": "integer", "format": "int64", "minimum": least, "maximum": most})

    def to_representation(self, value: int) -> int:  # type: ignore[override]
        return value

    def to_internal_value(self, data: str) -> int:
        if not _DIGITS.fullmatch(data) or not self.least <= int(data) <= self.most:
            raise Refused("The number is not allowed here.")
        return int(data)


def limit_field() -> WholeField:
    """How many rows an answer holds at most."""
    return WholeField(
        least=1, most=MOST_ROWS, default=DEFAULT_ROWS, help_text="Rows in the answer, at most."
    )


def id_field(help_text: str) -> WholeField:
    """A trade id."""
    return WholeField(least=0, most=_MOST_ID, required=False, help_text=help_text)


class ChoiceField(serializers.ChoiceField):
    """One of a few words."""

    @property
    def allowed(self) -> tuple[str, ...]:
        return tuple(self.choices)

    def to_internal_value(self, data: str) -> str:
        if data not in self.choices:
            raise Refused(f"{data[:20]!r} is not one of the choices.")
        return data


@extend_schema_field({"type": "string", "pattern": "^[0-9]+[mhdw]$", "example": "24h"})
class WindowField(Param):
    """A length of time: a number and a unit of m, h, d, w. Its value: (text, milliseconds)."""

    allowed = "a number and one of m, h, d, w: from 1m to 31d, e.g. 24h"

    def to_representation(self, value: tuple[str, int]) -> str:
        return value[0]

    def to_internal_value(self, data: str) -> tuple[str, int]:
        match = _WINDOW.fullmatch(data)
        width_ms = int(match[1]) * _UNITS[match[2]] if match else 0
        if not MINUTE_MS <= width_ms <= 31 * DAY_MS:
            raise Refused("This window is not allowed.")
        return data, width_ms


@extend_schema_field(OpenApiTypes.DOUBLE)
class ThresholdField(Param):
    """A ratio above 0, exact."""

    allowed = "a number above 0, at most 10, e.g. 0.03 for 3 %"

    def to_representation(self, value: Decimal) -> float:  # type: ignore[override]
        return float(value)

    def to_internal_value(self, data: str) -> Decimal:
        try:
            ratio = Decimal(data)
        except InvalidOperation:
            raise Refused("This is no number.") from None
        if not ratio.is_finite() or not 0 < ratio <= 10:
            raise Refused("The threshold is out of range.")
        return ratio


@extend_schema_field(OpenApiTypes.STR)
class CursorField(Param):
    """A cursor of an earlier answer; what it stands for is checked against the rest of the query."""

    allowed = "the cursor or next of an earlier answer"

    def to_internal_value(self, data: str) -> str:
        return data


class TruthField(serializers.BooleanField):
    """true or false."""

    allowed = ("true", "false")

    def to_internal_value(self, data: str) -> bool:
        if data not in self.allowed:
            raise Refused("Only true or false.")
        return data == "true"
