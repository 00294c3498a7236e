"""/health answers for every part, in time."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from ingestion.log import close_log
from ingestion.models import Heartbeat
from streamloom.health import role_component

NOW = dt.datetime(2026, 11, 21, 9, 0, tzinfo=dt.UTC)


def beat(age_s: float, status: str = "ok") -> Heartbeat:
    return Heartbeat(
        role="process", instance="a:1", rate=1, status=status, detail="why", beat_at=NOW - dt.timedelta(seconds=age_s)
    )


@pytest.fixture
def folder(tmp_path: Path, settings: Any) -> Iterator[Path]:
    """An empty data folder; what was opened in it is closed at the end."""
    settings.STREAMLOOM_DATA_DIR = tmp_path
    close_log()
    yield tmp_path
    close_log()


@pytest.mark.parametrize(
    ("age_s", "said", "uptime_s", "expected"),
    [
        (1, "ok", 100, "ok"),
        (1, "degraded", 100, "degraded"),
        (1, "down", 100, "degraded"),
        (11, "ok", 100, "down"),
        (11, "ok", 3, "degraded"),
    ],
)
def test_a_role_is_what_its_newest_heartbeat_says_unless_that_is_old(
    age_s: float, said: str, uptime_s: float, expected: str
) -> None:
    assert role_component("process", beat(age_s, said), NOW, uptime_s)["status"] == expected


def test_nothing_is_down_only_because_repair_is_silent() -> None:
    assert role_component("repair", None, NOW, 100)["status"] == "degraded"
    assert role_component("ingest", None, NOW, 100)["status"] == "down"


@pytest.mark.django_db(transaction=True)
def test_health_names_every_component_and_those_that_are_not_of_this_mode(client: Client, folder: Path) -> None:
    answer = client.get("/health").json()

    assert set(answer) == {"status", "version", "mode", "components"}
    assert {"postgres", "clickhouse", "kafka", "redis", "ingest", "process", "sink"} <= set(answer["components"])
    assert answer["components"]["kafka"]["status"] == "absent"
    assert answer["components"]["log"]["status"] == "ok"
    for component in answer["components"].values():
        assert set(component) == {"status", "latency_ms", "detail"}


@pytest.mark.django_db(transaction=True)
def test_a_store_that_fails_makes_it_503_and_tells_no_secret(client: Client, folder: Path, settings: Any) -> None:
    (folder / "log.db").mkdir()

    answer = client.get("/health")

    assert answer.status_code == 503
    assert answer.json()["components"]["log"]["status"] == "down"
    assert str(folder) not in answer.text


def test_live_answers_without_any_store(client: Client) -> None:
    answer = client.get("/health/live")

    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_metrics_are_prometheus_text(client: Client) -> None:
    answer = client.get("/metrics")

    assert answer.status_code == 200
    assert "# TYPE streamloom_role_ok gauge" in answer.text
