"""The browser tests mean something only while their fake answers as the server does."""

from collections.abc import Iterator

import httpx2
import pytest

from analytics.api import shapes
from streamloom.tests.browser.fake_api import FakeApi, make_api


@pytest.fixture
def api() -> Iterator[FakeApi]:
    server = make_api()
    server.address = server.start()
    yield server
    server.stop()


@pytest.mark.parametrize(
    ("path", "shape"),
    [
        ("/candles?symbol=BTCUSDT&interval=1m", shapes.CANDLES),
        ("/symbols", shapes.SYMBOLS),
    ],
)
def test_the_fake_answers_in_the_shapes_of_the_servers_schema(api: FakeApi, path: str, shape: shapes.Schema) -> None:
    answer = httpx2.get(api.address + path).json()

    assert mismatches(answer, shape) == []


def mismatches(value: object, shape: shapes.Schema, place: str = "answer") -> list[str]:
    """Where a value is not of the shape: members by name, and the kind of each value."""
    if shape["type"] == "array":
        assert isinstance(value, list)
        return [
            found
            for number, item in enumerate(value)
            for found in mismatches(item, shape["items"], f"{place}[{number}]")
        ]
    if shape["type"] == "object":
        assert isinstance(value, dict)
        missing = [f"{place}.{name} is missing" for name in shape["required"] if name not in value]
        known = {name: item for name, item in value.items() if name in shape["properties"]}
        return missing + [
            found
            for name, item in known.items()
            for found in mismatches(item, shape["properties"][name], f"{place}.{name}")
        ]
    kinds = {"integer": int, "number": (int, float), "string": str, "boolean": bool}
    is_right = isinstance(value, kinds[shape["type"]]) or value is None and shape.get("nullable", False)
    return [] if is_right else [f"{place} is {value!r}"]
