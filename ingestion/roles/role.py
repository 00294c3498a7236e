"""The shape of every long-running part: a step, a stop, and a pulse that others may look at."""

import threading
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Pulse:
    """A snapshot of a role. ``processed``: records since its start; ``lag``: records that wait, when it can tell.

    ``last_message_ms``: epoch ms of the newest input; ``status``: ok, degraded (works late) or down.
    """

    processed: int
    lag: int | None
    last_message_ms: int | None
    status: str
    detail: str


class Role:
    """A part of the pipeline that runs until it is told to stop."""

    name: ClassVar[str]

    def step(self) -> None:
        """One turn of the loop; blocks for a second at most. Tests drive this instead of ``run``."""
        raise NotImplementedError(f"{type(self).__name__} runs as a whole")

    def run(self, stop: threading.Event) -> None:
        """Step until ``stop`` is set, then drain. An exception leaves the last commit and ends the role."""
        try:
            while not stop.is_set():
                self.step()
        finally:
            self.drain()

    def drain(self) -> None:
        """Finish or give up what is held, and release what was taken."""

    def pulse(self) -> Pulse:
        """How it goes, from any thread at any time."""
        return Pulse(0, None, None, "ok", "")
