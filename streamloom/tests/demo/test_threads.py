"""A role that fails starts again; one that is told to stop does."""

import sys
import threading

from ingestion.roles import Pulse, Role
from streamloom.demo.threads import RoleThread, WebThread, listen
from streamloom.wiring import RolePlan


class Frail(Role):
    """Fails when it is made for the first time; then waits for its end."""

    name = "frail"

    def __init__(self, starts: list[int], is_up: threading.Event) -> None:
        self._starts, self._is_up = starts, is_up
        starts.append(1)

    def step(self) -> None:
        if len(self._starts) == 1:
            raise RuntimeError("the first time it breaks")
        self._is_up.set()

    def pulse(self) -> Pulse:
        # Not about heartbeats: a pulse that cannot be had leaves the database alone.
        raise ValueError("no pulse")


def test_a_role_that_fails_is_made_anew_and_drained_at_the_end() -> None:
    starts: list[int] = []
    is_up = threading.Event()
    thread = RoleThread(RolePlan("frail", lambda: Frail(starts, is_up)))

    thread.start()
    came_up = is_up.wait(10)
    thread.stop()
    thread.join(10)

    assert came_up
    assert len(starts) == 2
    assert not thread.is_alive()


def test_a_web_server_that_cannot_load_its_application_says_so_and_ends_the_demo(monkeypatch) -> None:
    has_failed = threading.Event()
    # The application's module is asked for by name when the server starts.
    monkeypatch.setitem(sys.modules, "streamloom.asgi", None)
    web = WebThread(listen(0), has_failed.set)

    web.start()

    assert has_failed.wait(20)
    web.join(10)
    assert not web.is_alive()
