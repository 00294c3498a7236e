"""The doctor names what is wrong and how to mend it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

from ingestion.binance.simulator.server import SimulatedExchange, SimulatorConfig
from streamloom.demo.folder import hold
from streamloom.demo.source import free_port
from streamloom.doctor import check_exchange, check_python, check_space
from streamloom.services.native import NativeServices


def doctor(folder: Path) -> subprocess.CompletedProcess[str]:
    """Examine a data folder. A process of its own, because it opens the engine there."""
    return subprocess.run(
        [sys.executable, "manage.py", "doctor"],
        cwd=settings.BASE_DIR,
        env={**os.environ, "STREAMLOOM_DATA_DIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def test_a_store_without_its_migrations_fails_and_the_fix_is_a_command(tmp_path: Path) -> None:
    told = doctor(tmp_path)

    assert told.returncode == 1
    assert "failed  database" in told.stdout
    assert "fix: manage.py migrate" in told.stdout
    assert "fix: manage.py clickhouse_migrate" in told.stdout


def test_a_folder_that_a_demo_holds_is_left_alone(tmp_path: Path) -> None:
    with hold(tmp_path):
        told = doctor(tmp_path)

    assert told.returncode == 0
    assert f"in use by process {os.getpid()}" in told.stdout
    assert not {"streamloom.db", "clickhouse", "log.db"} & {item.name for item in tmp_path.iterdir()}


def test_a_machine_without_any_data_is_well(tmp_path: Path) -> None:
    told = doctor(tmp_path / "none")

    assert told.returncode == 0
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(("version", "status"), [((3, 11, 2), "ok"), ((3, 12, 0), "ok"), ((3, 9, 1), "failed")])
def test_an_unsupported_python_fails(version: tuple[int, ...], status: str) -> None:
    assert check_python(version).status == status


def test_little_space_is_a_warning() -> None:
    assert check_space(2**40).status == "ok"
    assert check_space(2**20).status == "warning"


def test_an_exchange_that_answers_is_well_and_one_that_does_not_is_told_with_the_way_on() -> None:
    exchange = SimulatedExchange(SimulatorConfig(seed=3))
    exchange.start(port=0)
    try:
        assert check_exchange(exchange.rest_url).status == "ok"
    finally:
        exchange.stop()

    away = check_exchange(f"http://127.0.0.1:{free_port()}")
    assert (away.status, "--source simulated" in away.fix) == ("warning", True)


def examine_services(**variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", "doctor"],
        cwd=settings.BASE_DIR,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.mark.services
def test_new_servers_are_told_with_what_makes_them_ready(
    services: NativeServices, kafka: str, postgres: str, redis: str, clickhouse_server: str
) -> None:
    unused = {"KAFKA_PREFIX": "doctor.", "DATABASE_URL": postgres.removesuffix("streamloom") + "postgres"}
    told = examine_services(**{**services.environment(), **unused})

    assert told.returncode == 1
    assert "failed  database" in told.stdout
    assert "fix: manage.py migrate" in told.stdout
    assert "failed  topics" in told.stdout
    assert "manage.py create_topics" in told.stdout
    assert "ok      redis" in told.stdout


def test_servers_that_are_away_are_told_by_the_variable_that_names_them() -> None:
    nobody = f"127.0.0.1:{free_port()}"
    told = examine_services(
        STREAMLOOM_MODE="services",
        SECRET_KEY="key",
        DATABASE_URL=f"postgres://me:hidden@{nobody}/none",
        KAFKA_BROKERS=nobody,
        CLICKHOUSE_URL=f"http://me:hidden@{nobody}/none",
        REDIS_URL=f"redis://:hidden@{nobody}/0",
    )

    assert told.returncode == 1
    for name in ("database", "clickhouse", "topics", "redis"):
        assert f"failed  {name}" in told.stdout
    for variable in ("DATABASE_URL", "CLICKHOUSE_URL", "KAFKA_BROKERS", "REDIS_URL"):
        assert variable in told.stdout
    assert "hidden" not in told.stdout + told.stderr
