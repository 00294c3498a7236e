"""The data of the operator's page."""

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.test import Client

from analytics.models import AuditRun
from analytics.reading.tail import close_tail
from analytics.reading.view import LiveView, Tailed
from analytics.tests.samples import candle, kline_of
from ingestion.log import close_log, open_log, topics
from ingestion.log.port import Record, Stored
from ingestion.models import Heartbeat
from markets.models import Symbol
from streamloom import status
from streamloom.status import STAGES, _audit, pipeline, stage_json

NOW = dt.datetime(2026, 11, 21, 9, 0, tzinfo=dt.UTC)
PROCESS = next(stage for stage in STAGES if stage.name == "process")


def beat(age_s: float, **more: Any) -> Heartbeat:
    """A heartbeat of the processor, so many seconds old."""
    facts = {"role": PROCESS.role, "instance": "a:1", "status": "ok", "rate": 10.0, "lag": 5, **more}
    return Heartbeat(beat_at=NOW - dt.timedelta(seconds=age_s), **facts)


def test_instances_that_beat_are_added_up_and_the_worst_status_counts() -> None:
    beats = [beat(1, instance="a:1"), beat(2, instance="a:2", status="degraded", lag=7, detail="late")]

    shown = stage_json(PROCESS, beats, NOW)

    assert (shown["instances"], shown["rate"], shown["lag"]) == (2, 20.0, 12)
    assert (shown["status"], shown["detail"]) == ("degraded", "late")


def test_an_instance_of_an_earlier_start_does_not_count() -> None:
    beats = [beat(1, instance="a:2", lag=0), beat(900, instance="a:1", status="down", detail="old", lag=99)]

    shown = stage_json(PROCESS, beats, NOW)

    assert (shown["status"], shown["lag"], shown["detail"]) == ("ok", 0, "")


def test_a_silent_stage_is_down_and_names_the_command_that_starts_it() -> None:
    shown = stage_json(PROCESS, [beat(34)], NOW)

    assert shown["status"] == "down"
    assert shown["detail"] == "no heartbeat for 34 s: python manage.py process_trades"


def test_a_stage_that_never_ran_says_how_to_start_it() -> None:
    shown = stage_json(PROCESS, [], NOW)

    assert shown["status"] == "down"
    assert "python manage.py process_trades" in shown["detail"]


def test_the_age_of_the_last_message_is_that_of_the_newest_one() -> None:
    beats = [
        beat(1, instance="a:1", last_message_at=NOW - dt.timedelta(seconds=40)),
        beat(1, instance="a:2", last_message_at=NOW - dt.timedelta(seconds=3)),
        beat(1, instance="a:3"),
    ]

    assert stage_json(PROCESS, beats, NOW)["last_message_age_s"] == 3


@pytest.fixture
def embedded(settings: Any, tmp_path: Path, transactional_db: None) -> Iterator[None]:
    """The process's own log and tail, over an empty data folder."""
    settings.STREAMLOOM_MODE = "embedded"
    settings.STREAMLOOM_DATA_DIR = tmp_path
    close_tail()
    close_log()
    yield
    close_tail()
    close_log()


def test_an_empty_installation_is_answered_in_full(embedded: None, client: Client) -> None:
    answer = client.get("/status.json")

    assert answer.status_code == 200
    assert answer["Cache-Control"].startswith("max-age=0")
    shown = json.loads(answer.content)
    assert shown["problems"] == []
    assert shown["status"] == "down"
    assert [stage["name"] for stage in shown["stages"]][:5] == ["ingest", "process", "repair", "klines", "sink"]
    assert shown["symbols"] == shown["gaps"] == []


def test_what_waits_in_the_log_is_counted_for_each_reader(embedded: None) -> None:
    open_log().append(topics.RAW_TRADES.name, [Record("BTCUSDT", b"{}")] * 3)

    places = {place["topic"]: place for place in pipeline()["topics"]}

    assert places["raw_trades"]["end"] == 3
    assert places["raw_trades"]["readers"] == [{"group": "process_trades", "position": 0, "lag": 3}]
    assert [reader["group"] for reader in places["coverage"]["readers"]] == ["repair_gaps", "sink"]


def test_a_watched_symbol_is_listed_before_its_first_trade(embedded: None) -> None:
    Symbol.objects.update_or_create(
        symbol="NEWUSDT",
        defaults={"base": "NEW", "quote": "USDT", "status": "TRADING", "trades_enabled": True}
        | {"tick_size": "0.01", "step_size": "0.01"},
    )

    shown = {feed["symbol"]: feed for feed in pipeline()["symbols"]}

    assert shown["NEWUSDT"]["feed_time"] is None
    assert not shown["NEWUSDT"]["complete"]


def test_a_symbol_of_which_only_klines_are_kept_is_no_feed(embedded: None, monkeypatch: pytest.MonkeyPatch) -> None:
    view = LiveView(lambda topic, symbol: 0, lambda topic: 1)
    stored = Stored("prices-1h", 0, 0, 0, "XRPUSDC", b"", 1)
    view.take([Tailed(stored, kline_of(candle(0, (1, 2)), symbol="XRPUSDC", interval="1h"))], {})
    monkeypatch.setattr(status, "get_tail", lambda: SimpleNamespace(view=view))

    assert view.symbols() == ["XRPUSDC"]
    assert status._symbols() == []


@pytest.mark.django_db
def test_a_day_that_differs_is_told_until_it_is_repaired() -> None:
    assert _audit()["detail"] == "no day has ended yet"
    run = AuditRun.objects.create(symbol="BTCUSDT", day=NOW.date(), state="differs", differences=3, finished_at=NOW)

    told = _audit()

    assert (told["status"], told["detail"]) == ("degraded", f"BTCUSDT {NOW.date()}: differs, 3 differences")
    assert told["last_message_at"] == NOW.timestamp() * 1000
    run.state = AuditRun.State.AGREES
    run.save()
    assert (_audit()["status"], _audit()["detail"]) == ("ok", "")
