"""Fixtures that every test of analytics shares: a ClickHouse engine."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from analytics.clickhouse.client import client, close_clients
from analytics.clickhouse.migrate import migrate
from analytics.tests.stage import Stage
from ingestion.log.sqlite import SqliteLog

TABLES = (
    "trades_enriched",
    "candles",
    "candle_journal",
    "klines",
    "indicators",
    "coverage_events",
    "dead_letters",
)


@pytest.fixture(scope="session")
def clickhouse_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The one data folder of this process: chDB takes a single engine path at a time."""
    yield tmp_path_factory.mktemp("data")
    close_clients()


@pytest.fixture
def clickhouse(clickhouse_dir: Path, settings: Any, request: pytest.FixtureRequest) -> Client:
    """This thread's client of a migrated, empty ClickHouse: embedded; STREAMLOOM_TEST_CLICKHOUSE=server: by HTTP."""
    if os.environ.get("STREAMLOOM_TEST_CLICKHOUSE") == "server":
        settings.STREAMLOOM_MODE = "services"
        settings.CLICKHOUSE_URL = request.getfixturevalue("clickhouse_server")
    else:
        settings.STREAMLOOM_MODE = "embedded"
    settings.STREAMLOOM_DATA_DIR = clickhouse_dir
    opened = client()
    migrate(opened)
    for table in TABLES:
        opened.command(f"TRUNCATE TABLE {table}")
    return opened


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SqliteLog]:
    """An empty durable log of one partition a topic."""
    opened = SqliteLog(tmp_path / "log.db")
    yield opened
    opened.close()


@pytest.fixture
def stage(clickhouse: Client, log: SqliteLog, db: None) -> Iterator[Stage]:
    """A log, the sink and the tail of a web process over an empty store."""
    made = Stage(log)
    yield made
    made.close()
