"""Commands as processes of their own, for tests that look at them from outside and kill them."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

import httpx2
from django.conf import settings

from streamloom.demo.source import free_port

T = TypeVar("T")

_STOPS_WITHIN_S = 10


class Exchange(Protocol):
    """Where an exchange is served: base of ``/api/v3/…``, and of ``/ws`` and ``/stream``."""

    @property
    def rest_url(self) -> str: ...

    @property
    def ws_url(self) -> str: ...


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

    def until(self, ask: Callable[[], T], what: str, timeout_s: float = 60.0) -> T:
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


class RunningDemo(RunningCommand):
    """``manage.py demo`` on a free port, following ``exchange`` as if it were Binance."""

    def __init__(
        self, exchange: Exchange, folder: Path, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> None:
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        served = {"BINANCE_REST_URL": exchange.rest_url, "BINANCE_WS_URL": exchange.ws_url, "LOG_FORMAT": "json"}
        source = ("--source", "binance", "--port", port, "--data-dir", folder)
        super().__init__("demo", *source, *arguments, environment={**served, **(environment or {})})

    def get(self, path: str) -> Any:
        """The JSON of a path; None when it is not served now."""
        try:
            answer = httpx2.get(self.url + path, timeout=5)
        except httpx2.TransportError:
            return None
        return answer.json() if answer.status_code == 200 else None
