"""Commands as processes of their own, for whoever looks at them from outside and kills them."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

from django.conf import settings

T = TypeVar("T")

_STOPS_WITHIN_S = 10


class RunningCommand:
    """``manage.py`` with these arguments, until it is killed or stopped. ``environment``: added to this process's."""

    def __init__(self, *arguments: object, environment: Mapping[str, str] | None = None) -> None:
        self._name = str(arguments[0])
        self._lines: list[str] = []
        self._process = subprocess.Popen(
            [sys.executable, "manage.py", *map(str, arguments)],
            cwd=settings.BASE_DIR,
            env={**os.environ, **(environment or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        # Read all the time: a full pipe would stop it.
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        self._lines.extend(self._process.stdout)

    @property
    def said(self) -> str:
        """Everything it printed and logged so far."""
        return "".join(self._lines)

    def until(self, ask: Callable[[], T], what: str, timeout_s: float = 120.0) -> T:
        """What ``ask`` gives, as soon as it is true; the test fails after ``timeout_s``, or when the command ends."""
        end = time.monotonic() + timeout_s
        pause = threading.Event()
        while not (found := ask()):
            assert self._process.poll() is None, f"{self._name} ended: {self.said}"
            assert time.monotonic() < end, f"{what}: not within {timeout_s} s; {self.said}"
            pause.wait(0.1)
        return found

    def wait(self, seconds: float) -> None:
        """Let it run for so long; it must not end by itself."""
        end = time.monotonic() + seconds
        self.until(lambda: time.monotonic() >= end, "the end of the wait", seconds + 1)

    def kill(self) -> None:
        """End it as a crash does; nothing when it has ended already."""
        self._process.kill()
        self._process.wait(_STOPS_WITHIN_S)

    def stop(self) -> int:
        """End it as an operator does; the exit code. Fails when it takes longer than ten seconds."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(_STOPS_WITHIN_S)
