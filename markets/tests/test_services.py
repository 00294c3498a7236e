"""Symbols follow the exchange; what is watched stays the operator's choice."""

from dataclasses import dataclass
from decimal import Decimal

import pytest

from markets import selectors, services
from markets.models import Symbol

pytestmark = pytest.mark.django_db


@dataclass(frozen=True)
class Info:
    """A pair as the exchange tells it."""

    symbol: str
    base: str = "BTC"
    quote: str = "USDT"
    status: str = "TRADING"
    tick_size: int = 1_000_000
    step_size: int = 1_000


def listing(*symbols: str) -> list[Info]:
    return [Info(symbol) for symbol in symbols]


def test_a_new_install_watches_three_symbols_and_fetches_klines_of_seven() -> None:
    services.apply_exchange_info(listing("ADAUSDT", *services.KLINES_AT_FIRST))

    assert set(selectors.watched()) == {"BTCUSDT", "ETHUSDT", "SOLUSDT"}
    assert Symbol.objects.filter(klines_enabled=True).count() == 7
    assert "ADAUSDT" in selectors.assets()


def test_a_later_listing_never_changes_what_is_watched() -> None:
    services.apply_exchange_info(listing("BTCUSDT", "ETHUSDT"))
    services.disable(["BTCUSDT"])

    services.apply_exchange_info(listing("BTCUSDT", "ETHUSDT", "SOLUSDT"))

    assert set(selectors.watched()) == {"ETHUSDT"}


def test_steps_are_exact() -> None:
    services.apply_exchange_info([Info("BTCUSDT", tick_size=1, step_size=1_000_000_000_000_000_000)])

    found = selectors.find("btcusdt")

    assert found is not None
    assert (found.tick_size, found.step_size) == (Decimal("0.00000001"), Decimal("10000000000"))


def test_it_tells_what_was_added_changed_and_is_gone() -> None:
    services.apply_exchange_info(listing("BTCUSDT", "ETHUSDT", "LUNAUSDT"))

    changes = services.apply_exchange_info([Info("BTCUSDT", status="HALT"), Info("ETHUSDT"), Info("NEWUSDT")])

    assert changes == services.Changes(added=["NEWUSDT"], changed=["BTCUSDT"], gone=["LUNAUSDT"])
    assert Symbol.objects.get(symbol="LUNAUSDT").status == services.GONE


def test_the_same_listing_again_changes_nothing() -> None:
    services.apply_exchange_info(listing("BTCUSDT"))
    services.apply_exchange_info([])

    assert services.apply_exchange_info([]) == services.Changes([], [], [])
    assert services.apply_exchange_info(listing("BTCUSDT")).changed == ["BTCUSDT"]
    assert services.apply_exchange_info(listing("BTCUSDT")) == services.Changes([], [], [])


def test_enabling_counts_only_what_was_off() -> None:
    services.apply_exchange_info(listing("BTCUSDT", "ADAUSDT"))

    assert services.enable(["BTCUSDT", "ADAUSDT", "NOSUCH"]) == 1
    assert services.disable(["ADAUSDT"]) == 1


def test_watching_exactly_some_leaves_no_other() -> None:
    services.apply_exchange_info(listing("BTCUSDT", "ETHUSDT", "ADAUSDT"))

    services.watch_exactly(["ADAUSDT"])

    assert set(selectors.watched()) == {"ADAUSDT"}
