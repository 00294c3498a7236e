"""The worker of services mode and a Redis that is frozen for longer than anybody waits for it."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from celery import Celery
from django.conf import settings

from streamloom.services.native import NativeServices

pytestmark = [pytest.mark.services, pytest.mark.slow, pytest.mark.timeout(240)]

PROCESSES = 2


@pytest.fixture
def worker(
    services: NativeServices, kafka: str, postgres: str, redis: str, clickhouse_server: str, tmp_path: Path
) -> Iterator[Path]:
    """Runs for the test; the answer is the file with what it says."""
    args = ("-A", "streamloom.tests.touching", "worker", "--concurrency", str(PROCESSES), "--without-gossip")
    said = tmp_path / "said"
    with said.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "celery", *args, "--without-mingle", "--without-heartbeat"],
            cwd=settings.BASE_DIR,
            env={**os.environ, **services.environment()},
            stdout=out,
            stderr=out,
        )
        yield said
        process.terminate()
        process.wait(10)


@pytest.fixture
def give(redis: str, tmp_path: Path) -> Iterator[Callable[[str, float], Path]]:
    """Gives the worker something to do; the answer begins the names of the files that it leaves."""
    app = Celery(broker=redis)

    def given(name: str, takes_s: float) -> Path:
        app.send_task("tests.touch", args=(str(tmp_path / name), takes_s))
        return tmp_path / name

    yield given
    app.close()


def until(ask: Callable[[], bool], within_s: float) -> bool:
    end = time.monotonic() + within_s
    while not (found := ask()) and time.monotonic() < end:
        time.sleep(0.1)
    return found


def are_there(paths: list[Path], suffix: str) -> bool:
    return all(path.with_suffix(suffix).exists() for path in paths)


def test_acknowledgements_that_redis_did_not_take_do_not_stop_the_worker(
    services: NativeServices, worker: Path, give: Callable[[str, float], Path]
) -> None:
    first = [give(f"first-{number}", 2) for number in range(PROCESSES)]
    assert until(lambda: are_there(first, ".begun"), 60)

    services.pause("redis")
    try:
        assert until(lambda: worker.read_text().count("Couldn't ack") == PROCESSES, 90)
        assert are_there(first, ".done")
    finally:
        services.resume("redis")

    then = [give(f"then-{number}", 0) for number in range(3)]
    assert until(lambda: are_there(then, ".done"), 60)
