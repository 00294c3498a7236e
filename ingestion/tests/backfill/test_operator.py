"""What the operator sees: the command and the admin."""

import datetime as dt
import io
import threading

import pytest
from django.core.management import CommandError, call_command

from ingestion.backfill import store
from ingestion.management.commands.backfill import look_on
from ingestion.models import Backfill
from markets.models import Symbol

pytestmark = pytest.mark.django_db

SINCE = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
ADD = "/admin/ingestion/backfill/add/"
LIST = "/admin/ingestion/backfill/"


@pytest.fixture(autouse=True)
def symbols(db):
    for base, watched in (("BTC", True), ("ADA", False)):
        Symbol.objects.create(symbol=f"{base}USDT", base=base, quote="USDT", trades_enabled=watched)


def run(*arguments):
    out = io.StringIO()
    call_command("backfill", *arguments, stdout=out)
    return out.getvalue()


def form(**fields):
    return {"symbol": "BTCUSDT", "from_time_0": "2024-01-01", "from_time_1": "00:00", "trades": "on", **fields}


def test_the_command_queues_and_returns_when_asked_to():
    told = run("btcusdt", "--from", "2024-01-01", "--to", "2024-01-03T12:00", "--with-1s", "--no-wait")

    row = Backfill.objects.get()
    assert told.startswith(f"Backfill {row.pk}: BTCUSDT from 2024-01-01")
    assert (row.from_time, row.to_time) == (SINCE, dt.datetime(2024, 1, 3, 12, tzinfo=dt.UTC))
    assert (row.trades, row.klines, row.seconds) == (True, True, True)


def test_the_command_looks_on_until_it_is_over_and_says_when_nobody_does_it():
    row = store.queue("BTCUSDT", SINCE)
    told = []

    def show(now):
        told.append((now.state, now.note))
        # Somebody does it after the first look.
        held = store.take(row.pk)
        if held is not None:
            held.note = "5 trades"
            store.finish(held)

    over = look_on(row, threading.Event(), show)

    assert over.state == "done"
    assert told[0][0] == "queued"
    assert "manage.py demo" in told[0][1]
    assert told[-1] == ("done", "5 trades")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ((), "Say which symbol"),
        (("BTCUSDT",), "Say which symbol"),
        (("NOSUCH", "--from", "2024-01-01"), "no symbol NOSUCH"),
        (("BTCUSDT", "--from", "2999-01-01"), "has not come yet"),
        (("BTCUSDT", "--from", "2024-01-02", "--to", "2024-01-01"), "later than the beginning"),
        (("BTCUSDT", "--from", "yesterday"), "no day or time"),
        (("BTCUSDT", "--from", "2024-01-01", "--trades-only", "--klines-only"), "not allowed"),
        (("--cancel", "7"), "no such backfill"),
        (("--retry", "7"), "no such backfill"),
    ],
)
def test_what_the_command_cannot_do_it_says(arguments, problem):
    with pytest.raises(CommandError, match=problem):
        run(*arguments)


def test_the_status_lists_them_and_a_number_cancels_and_retries():
    row = store.queue("BTCUSDT", SINCE)

    assert "Cancelled" in run("--cancel", str(row.pk))
    assert "cancelled" in run("--status")
    assert "Queued again" in run("--retry", str(row.pk))
    assert "queued" in run("--status", "btcusdt")


def test_the_admin_asks_for_a_backfill(admin_client):
    answer = admin_client.post(ADD, form(symbol=" btcusdt "), follow=True)

    row = Backfill.objects.get()
    assert answer.status_code == 200
    assert (row.symbol, row.from_time, row.state) == ("BTCUSDT", SINCE, "queued")
    assert "0.0 %" in answer.text


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"symbol": "NOSUCH"}, "no symbol NOSUCH"),
        ({"symbol": "ADAUSDT"}, "is not watched"),
        ({"from_time_0": "2999-01-01"}, "has not come yet"),
        ({"to_time_0": "2023-01-01", "to_time_1": "00:00"}, "must be later"),
        ({"trades": ""}, "neither trades nor klines"),
    ],
)
def test_the_admin_says_what_is_wrong_at_once(admin_client, fields, problem):
    answer = admin_client.post(ADD, form(**fields))

    assert problem in answer.text.replace("Neither", "neither")
    assert not Backfill.objects.exists()


def test_klines_alone_need_no_watched_symbol(admin_client):
    admin_client.post(ADD, form(symbol="ADAUSDT", trades="", klines="on"))

    assert Backfill.objects.get().symbol == "ADAUSDT"


def test_the_admin_shows_progress_cancels_and_begins_anew(admin_client):
    row = store.queue("BTCUSDT", SINCE)
    Backfill.objects.update(state="running", total_steps=8, done_steps=2, busy_s=10, trades_sent=1_234, note="1m of it")
    page = admin_client.get(LIST).text
    assert 'value="25.0"' in page
    assert "1,234" in page
    assert "0:00:30" in page

    admin_client.post(LIST, {"action": "cancel", "_selected_action": [row.pk]}, follow=True)
    row.refresh_from_db()
    assert row.state == "cancelled"
    admin_client.post(LIST, {"action": "retry", "_selected_action": [row.pk]}, follow=True)
    row.refresh_from_db()
    assert row.state == "queued"


def test_what_was_asked_for_cannot_be_changed_and_only_what_is_over_be_deleted(admin_client):
    row = store.queue("BTCUSDT", SINCE)

    page = admin_client.get(f"{LIST}{row.pk}/change/")
    changed = admin_client.post(f"{LIST}{row.pk}/change/", {"symbol": "XXX"})
    refused = admin_client.post(f"{LIST}{row.pk}/delete/", {"post": "yes"})

    row.refresh_from_db()
    assert (page.status_code, row.symbol) == (200, "BTCUSDT")
    assert (changed.status_code, refused.status_code) == (403, 403)


def test_a_symbol_leads_to_its_backfill(admin_client):
    symbol = Symbol.objects.get(symbol="BTCUSDT")

    answer = admin_client.post(
        "/admin/markets/symbol/", {"action": "queue_backfill", "_selected_action": [symbol.pk]}, follow=True
    )

    assert answer.request["PATH_INFO"] == ADD
    assert 'value="BTCUSDT"' in answer.text
    both = Symbol.objects.values_list("pk", flat=True)
    answer = admin_client.post(
        "/admin/markets/symbol/", {"action": "queue_backfill", "_selected_action": list(both)}, follow=True
    )
    assert "Choose one symbol" in answer.text


def test_the_list_of_used_files_opens(admin_client):
    store.note_use("BTCUSDT-1m-2024-01-01.zip", "ab" * 32, 1440)

    assert "BTCUSDT-1m-2024-01-01.zip" in admin_client.get("/admin/ingestion/archiveuse/").text
