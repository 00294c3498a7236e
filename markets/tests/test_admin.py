"""The operator's pages."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

from markets.models import Symbol
from markets.selectors import watched

pytestmark = pytest.mark.django_db

SYMBOLS = "/admin/markets/symbol/"


@pytest.fixture
def symbols(db: None) -> None:
    Symbol.objects.bulk_create(
        [Symbol(symbol=f"{base}USDT", base=base, quote="USDT", trades_enabled=base == "BTC") for base in ("BTC", "ADA")]
    )


def choose(client: Client, action: str, *names: str) -> str:
    """Run a bulk action on the named symbols; the page that follows."""
    rows = Symbol.objects.filter(symbol__in=names).values_list("pk", flat=True)
    return client.post(SYMBOLS, {"action": action, "_selected_action": list(rows)}, follow=True).text


def test_symbols_are_found_by_a_part_of_their_name(admin_client: Client, symbols: None) -> None:
    page = admin_client.get(SYMBOLS, {"q": "ada"}).text

    assert "ADAUSDT" in page
    assert "BTCUSDT" not in page


def test_symbols_are_enabled_in_bulk_and_the_answer_counts_those_that_changed(
    admin_client: Client, symbols: None
) -> None:
    page = choose(admin_client, "enable_trades", "BTCUSDT", "ADAUSDT")

    assert set(watched()) == {"BTCUSDT", "ADAUSDT"}
    assert "trades on for 1 symbol," in page


def test_symbols_are_disabled_in_bulk(admin_client: Client, symbols: None) -> None:
    choose(admin_client, "disable_trades", "BTCUSDT")

    assert watched() == {}


def test_what_the_exchange_says_cannot_be_edited(admin_client: Client, symbols: None) -> None:
    symbol = Symbol.objects.get(symbol="BTCUSDT")

    admin_client.post(f"{SYMBOLS}{symbol.pk}/change/", {"base": "XXX", "trades_enabled": "on"})

    symbol.refresh_from_db()
    assert symbol.base == "BTC"


@pytest.mark.parametrize("page", ["/admin/", "/admin/auth/user/", "/admin/auth/user/add/", "/admin/auth/group/"])
def test_every_page_of_the_admin_opens(admin_client: Client, page: str) -> None:
    assert admin_client.get(page).status_code == 200


def test_a_visitor_is_sent_to_the_login(client: Client) -> None:
    assert client.get(SYMBOLS).headers["Location"].startswith("/admin/login/")


def test_a_visitor_who_may_not_cannot_switch(client: Client, symbols: None) -> None:
    client.force_login(User.objects.create_user("reader", password="x", is_staff=True))

    assert client.post(SYMBOLS, {"action": "enable_trades", "_selected_action": []}).status_code == 403
