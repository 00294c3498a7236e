"""The servers of one folder: each is ours, on its own port, and ends when it is told to, or with us."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import redis as redis_client
from confluent_kafka.admin import AdminClient
from django.conf import settings

from streamloom.services.native import MissingService, NativeServices, ServiceFailed, exports, running
from streamloom.services.process import OwnedProcess

pytestmark = pytest.mark.services

OWNER = """
import sys, time
from pathlib import Path
from streamloom.services.native import running
with running(Path(sys.argv[1]), "redis") as services:
    print(services.pid("redis"), flush=True)
    time.sleep(60)
"""


@pytest.fixture
def own(tmp_path: Path, redis: str) -> Iterator[NativeServices]:
    """Services of one test; asking for the shared Redis first skips where there is none."""
    with running(tmp_path) as services:
        yield services


def eventually(condition: Callable[[], bool], within_s: float = 10) -> bool:
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def answers(url: str) -> bool:
    with redis_client.Redis.from_url(url, socket_timeout=0.3, socket_connect_timeout=0.3) as asked:
        try:
            return bool(asked.ping())
        except redis_client.RedisError:
            return False


def test_a_killed_server_comes_back_on_its_port(own: NativeServices) -> None:
    own.start("redis")
    port, first = own.port("redis"), own.pid("redis")

    own.kill("redis")
    assert own.pid("redis") is None
    own.start("redis")

    assert own.port("redis") == port
    assert own.pid("redis") not in (None, first)
    assert answers(own.environment()["REDIS_URL"])


def test_a_frozen_server_answers_nobody_until_it_goes_on(own: NativeServices) -> None:
    own.start("redis")
    url = own.environment()["REDIS_URL"]

    own.pause("redis")
    assert not answers(url)
    own.resume("redis")

    assert eventually(lambda: answers(url))


def test_another_command_ends_exactly_what_was_started(own: NativeServices, redis: str) -> None:
    own.start("redis")
    pid = own.pid("redis")
    assert pid is not None

    later = NativeServices(own.folder)

    assert later.stop() == ["redis"]
    assert later.stop() == []
    assert answers(redis), "the Redis of another folder was ended too"


def test_a_pid_that_was_given_to_another_process_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "pid").write_text(f"{os.getpid()} 12345")

    stranger = OwnedProcess(tmp_path / "pid")
    stranger.kill()

    assert stranger.pid() is None


def test_a_port_that_somebody_else_took_is_refused(own: NativeServices) -> None:
    own.start("redis")
    own.stop("redis")

    with socket.create_server(("127.0.0.1", own.port("redis"))), pytest.raises(ServiceFailed, match="another process"):
        own.start("redis")


def test_servers_end_with_the_process_that_ran_them_even_when_it_is_killed(tmp_path: Path, redis: str) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path)], cwd=settings.BASE_DIR, stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    pid = int(owner.stdout.readline())

    owner.send_signal(signal.SIGKILL)
    owner.communicate()

    assert eventually(lambda: not is_alive(pid))


def test_what_is_missing_is_told_with_the_way_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")

    with pytest.raises(MissingService) as missing:
        NativeServices(tmp_path).start("redis")

    assert missing.value.name == "redis"
    assert "apt-get install redis-server" in missing.value.how


def test_the_environment_is_given_as_a_shell_reads_it() -> None:
    line = exports({"SECRET_KEY": "it's $HOME"})

    read = subprocess.run(["sh", "-c", f'{line}; printf %s "$SECRET_KEY"'], capture_output=True, text=True, check=True)
    assert read.stdout == "it's $HOME"


def test_a_real_broker_answers(kafka: str) -> None:
    assert len(AdminClient({"bootstrap.servers": kafka}).list_topics(timeout=10).brokers) == 1


def test_postgres_keeps_what_was_committed_before_a_kill(services: NativeServices, postgres: str) -> None:
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS number")

    services.kill("postgres")
    services.start("postgres")

    with psycopg.connect(postgres, autocommit=True) as connection:
        assert connection.execute("SELECT number FROM kept").fetchone() == (7,)
        connection.execute("DROP TABLE kept")
