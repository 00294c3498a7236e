"""A role runs until it is told to stop, and drains whatever happens."""

import threading

import pytest

from ingestion.roles import Role


class Counting(Role):
    """Counts its steps; stops itself after three, or breaks at the given one."""

    name = "counting"

    def __init__(self, stop: threading.Event, breaks_at: int = 0) -> None:
        self._stop, self._breaks_at = stop, breaks_at
        self.steps = 0
        self.is_drained = False

    def step(self) -> None:
        self.steps += 1
        if self.steps == self._breaks_at:
            raise RuntimeError("broken")
        if self.steps == 3:
            self._stop.set()

    def drain(self) -> None:
        self.is_drained = True


def test_it_steps_until_it_is_told_to_stop_and_then_drains() -> None:
    stop = threading.Event()
    role = Counting(stop)

    role.run(stop)

    assert (role.steps, role.is_drained) == (3, True)


def test_a_role_that_breaks_still_drains() -> None:
    stop = threading.Event()
    role = Counting(stop, breaks_at=2)

    with pytest.raises(RuntimeError):
        role.run(stop)

    assert role.is_drained
