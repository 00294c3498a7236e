"""The Celery worker forks: what a fork breaks must not exist before it (measured: a child hangs, or loses records)."""

import json
import os
import subprocess
import sys

import pytest
from django.conf import settings

# As the worker's parent does it before it forks: settings, apps, every task module.
PARENT = """
import gc, json, sys, threading
from streamloom.celery import app
app.loader.import_default_modules()
app.finalize()
import clickhouse_connect.driver.client as store
kinds = [store.Client]
if "confluent_kafka" in sys.modules:
    import confluent_kafka, confluent_kafka.admin
    kinds += [confluent_kafka.Producer, confluent_kafka.Consumer, confluent_kafka.admin.AdminClient]
print(json.dumps({
    "tasks": sorted(name for name in app.tasks if name.startswith(("analytics.", "ingestion."))),
    "modules": sorted({"chdb", "polars", "pandas"} & set(sys.modules)),
    "clients": [type(found).__name__ for found in gc.get_objects() if isinstance(found, tuple(kinds))],
    "threads": [thread.name for thread in threading.enumerate()],
}))
"""
SERVERS = {
    "STREAMLOOM_MODE": "services",
    "DATABASE_URL": "postgres://nobody@127.0.0.1:9/none",
    "KAFKA_BROKERS": "127.0.0.1:9",
    "CLICKHOUSE_URL": "http://127.0.0.1:9/default",
    "REDIS_URL": "redis://127.0.0.1:9/0",
    "SECRET_KEY": "key",
}


@pytest.fixture(scope="module")
def parent() -> dict[str, list[str]]:
    """What exists in the worker's parent. No server answers: whoever asks one before the fork fails here."""
    told = subprocess.run(
        [sys.executable, "-c", PARENT],
        cwd=settings.BASE_DIR,
        env={**os.environ, **SERVERS},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return json.loads(told.stdout)


def test_every_task_is_known_to_the_worker(parent: dict[str, list[str]]) -> None:
    own = ["analytics.audit", "analytics.indicators", "analytics.rebuild", "analytics.roll_up", "analytics.sink"]
    assert parent["tasks"] == [*own, "ingestion.backfill"]


def test_no_engine_is_loaded_before_the_fork(parent: dict[str, list[str]]) -> None:
    assert parent["modules"] == []


def test_no_client_is_made_before_the_fork(parent: dict[str, list[str]]) -> None:
    assert parent["clients"] == []


def test_no_thread_runs_before_the_fork(parent: dict[str, list[str]]) -> None:
    assert parent["threads"] == ["MainThread"]


def test_every_process_and_thread_wakes_tasks_by_our_queue() -> None:
    program = (
        "import django, threading; django.setup()\n"
        "from analytics.sink.tasks import sink\n"
        "tell = lambda: print(sink.app.main, sink.app.conf.broker_url)\n"
        "thread = threading.Thread(target=tell); thread.start(); thread.join(); tell()\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", program],
        cwd=settings.BASE_DIR,
        env={**os.environ, **SERVERS, "DJANGO_SETTINGS_MODULE": "streamloom.settings"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert told.stdout.splitlines() == ["streamloom redis://127.0.0.1:9/0"] * 2
