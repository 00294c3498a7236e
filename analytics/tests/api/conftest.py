"""A caller of the API over a stage of its own."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test import Client as Browser

from analytics.tests.samples import BTC
from analytics.tests.stage import Stage
from markets.models import Symbol

Get = Callable[..., Any]


@pytest.fixture
def get(stage: Stage) -> Iterator[Get]:
    """``get("/candles", symbol=…, from_=…)``: the response; a trailing ``_`` is dropped from names."""
    Symbol.objects.get_or_create(
        symbol=BTC,
        defaults={"base": "BTC", "quote": "USDT", "tick_size": "0.01", "step_size": "0.00001", "trades_enabled": True},
    )
    Symbol.objects.get_or_create(symbol="ADAUSDT", defaults={"base": "ADA", "quote": "USDT"})
    Symbol.objects.filter(symbol="ADAUSDT").update(trades_enabled=False)
    browser = Browser()

    def ask(path: str, *, headers: dict[str, str] | None = None, **query: Any) -> Any:
        named = {name.rstrip("_"): value for name, value in query.items()}
        return browser.get(path, named, headers=headers or {})

    return ask
