"""A role that fails starts again; one that is told to stop does."""

import threading

from ingestion.roles import Pulse, Role
from streamloom.demo.threads import RoleThread
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
