"""The harness's own supervisor: it knows every pid, and only what is held back stays down."""

import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streamloom.faults.crew import Crew
from streamloom.faults.proxy import LosingProxy
from streamloom.supervisor.plan import ProcessPlan

SLEEPER = ProcessPlan("sleeper", (sys.executable, "-c", "import time; time.sleep(60)"))


def eventually(ask: Callable[[], object], within_s: float = 10) -> bool:
    end, pause = time.monotonic() + within_s, threading.Event()
    while not ask():
        if time.monotonic() > end:
            return False
        pause.wait(0.02)
    return True


@pytest.fixture
def crew(tmp_path: Path) -> Iterator[Crew]:
    made = Crew([SLEEPER], {}, tmp_path)
    yield made
    made.end()


def test_who_is_killed_is_started_again_and_who_is_held_is_not(crew: Crew) -> None:
    member = crew["sleeper"]
    crew.start()
    assert eventually(lambda: member.pid)
    first = member.pid

    member.send(signal.SIGKILL)
    assert eventually(lambda: member.pid not in (None, first))
    assert member.last_status == -signal.SIGKILL
    member.hold()
    member.send(signal.SIGKILL)

    assert not eventually(lambda: member.starts > 2, 1.5)


def test_the_end_of_the_crew_is_the_end_of_its_processes(crew: Crew) -> None:
    crew.start()
    assert eventually(lambda: crew["sleeper"].pid)

    crew.end()

    assert crew["sleeper"].pid is None


def test_a_proxy_passes_everything_and_loses_the_answers_to_inserts_when_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_echo, args=(server,), daemon=True).start()
        proxy = LosingProxy(f"http://127.0.0.1:{server.getsockname()[1]}/x")
        port = int(proxy.url.rsplit(":", 1)[1].split("/")[0])
        proxy.to_lose = 1

        assert (_ask(port, b"SELECT 1"), _ask(port, b"INSERT 1"), _ask(port, b"INSERT 2")) == (
            b"SELECT 1",
            b"",
            b"INSERT 2",
        )
        assert proxy.lost == 1
        proxy.close()


def _echo(server: socket.socket) -> None:
    while True:
        try:
            client, _ = server.accept()
        except OSError:
            return
        client.sendall(client.recv(100))


def _ask(port: int, text: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        client.sendall(text)
        return client.recv(100)
