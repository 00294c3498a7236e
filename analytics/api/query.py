"""A query's parameters: declared once, as serializer fields, for validation and for the schema."""

from typing import Any, Final

from rest_framework import serializers
from rest_framework.request import Request

from analytics.api.problems import Problem, bad_parameter

# DRF's own: which rendering is wanted.
_OF_EVERY_QUERY: Final = frozenset(("format",))


class Query(serializers.Serializer):
    """Base of all queries. ``read`` answers the valid values by parameter name, or raises Problem."""

    @classmethod
    def read(cls, request: Request) -> dict[str, Any]:
        given = request.query_params
        query = cls(data=given.dict())
        _refuse_unknown(given, query.fields)
        if not query.is_valid():
            raise _first_problem(query)
        return dict(query.validated_data)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        start, end = attrs.get("from"), attrs.get("to")
        if start is not None and end is not None and start > end:
            raise bad_parameter("from", "from is after to.", "a time that is not after to")
        return attrs


def _refuse_unknown(given: Any, fields: Any) -> None:
    """A typo must not pass in silence, and of two values none is the right one."""
    for name in given:
        if name not in fields and name not in _OF_EVERY_QUERY:
            raise Problem(
                "unknown_parameter",
                f"There is no parameter named {name[:40]!r} here.",
                param=name[:40],
                allowed=sorted(fields),
            )
        if len(given.getlist(name)) > 1:
            raise bad_parameter(name, f"{name} is given more than once.", "one value")


def _first_problem(query: Query) -> Problem:
    name, errors = next(iter(query.errors.items()))
    field = query.fields[name]
    allowed = getattr(field, "allowed", None)
    error = errors[0]
    if error.code == "required":
        return Problem("missing_parameter", f"{name} is needed.", param=name, allowed=allowed)
    return bad_parameter(name, str(error), allowed)
