"""Fixtures with real servers: started once per test run, when the first test asks, and ended with it.

Where a server cannot run here its tests are skipped with the way to get it; with STREAMLOOM_REQUIRE_SERVICES=1
they fail instead.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamloom.services.native import MissingService, NativeServices, running


@pytest.fixture(scope="session")
def services() -> Iterator[NativeServices]:
    """The servers of this run, none of them started. Who ends one starts it again."""
    # Not pytest's own folder: Postgres, run by another user than root, could not enter it.
    folder = Path(tempfile.mkdtemp(prefix="streamloom-services-"))
    with running(folder) as made:
        yield made
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def kafka(services: NativeServices) -> str:
    """The address of a real broker."""
    return _started(services, "kafka")["KAFKA_BROKERS"]


@pytest.fixture(scope="session")
def postgres(services: NativeServices) -> str:
    """The URL of a real, empty database."""
    return _started(services, "postgres")["DATABASE_URL"]


@pytest.fixture(scope="session")
def redis(services: NativeServices) -> str:
    """The URL of a real Redis."""
    return _started(services, "redis")["REDIS_URL"]


@pytest.fixture(scope="session")
def clickhouse_server(services: NativeServices) -> str:
    """The URL of ClickHouse's HTTP interface, over the engine in a process of its own."""
    return _started(services, "clickhouse")["CLICKHOUSE_URL"]


def _started(services: NativeServices, name: str) -> dict[str, str]:
    try:
        services.start(name)
    except MissingService as problem:
        if os.environ.get("STREAMLOOM_REQUIRE_SERVICES") == "1":
            pytest.fail(str(problem))
        pytest.skip(str(problem))
    return services.environment()
