"""Ends the process when a call into the client does not come back.

Seen on real brokers: ``send_offsets_to_transaction`` that never returned although it had a time limit.
A process that hangs holds its partitions; one that ends is started again and goes on from its last commit.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import structlog

_log = structlog.get_logger(__name__)

EXIT_CODE: Final = 70


def _end() -> None:
    os._exit(EXIT_CODE)


class Watchdog:
    """Watches one call at a time; its thread starts with the first."""

    def __init__(
        self, name: str, limit_s: float, *, end: Callable[[], None] = _end, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._name, self._limit_s, self._end, self._clock = name, limit_s, end, clock
        self._what = ""
        self._since: float | None = None
        self._share = 1.0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @contextmanager
    def watching(self, what: str, share: float = 1.0) -> Iterator[None]:
        """Whoever stays inside for longer than the limit (a share of it) without ``progress`` ends the process."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=f"watchdog-{self._name}", daemon=True)
            self._thread.start()
        self._what, self._share = what, share
        self._since = self._clock()
        try:
            yield
        finally:
            self._since = None

    def progress(self) -> None:
        """It goes on: count from now."""
        if self._since is not None:
            self._since = self._clock()

    def stop(self) -> None:
        self._stop.set()

    def check(self) -> None:
        """End the process if the call is overdue."""
        since = self._since
        if since is not None and self._clock() - since > self._limit_s * self._share:
            _log.critical(
                "kafka_call_stuck",
                reader=self._name,
                call=self._what,
                limit_s=self._limit_s,
                hint="the process ends itself; its supervisor starts it again from the last commit",
            )
            self._end()

    def _run(self) -> None:
        while not self._stop.wait(min(1.0, self._limit_s / 4)):
            self.check()
