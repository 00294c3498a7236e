"""A demo as a process of its own, for tests that look at it from outside and kill it."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import httpx2
from django.conf import settings

from ingestion.binance.simulator.server import SimulatedExchange
from streamloom.demo.source import free_port

T = TypeVar("T")


class RunningDemo:
    """``manage.py demo`` on a free port, following ``exchange`` as if it were Binance."""

    def __init__(self, exchange: SimulatedExchange, folder: Path, *arguments: str) -> None:
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        self._lines: list[str] = []
        environment = {
            **os.environ,
            "BINANCE_REST_URL": exchange.rest_url,
            "BINANCE_WS_URL": exchange.ws_url,
            "LOG_FORMAT": "json",
        }
        self._process = subprocess.Popen(
            [sys.executable, "manage.py", "demo", "--source", "binance", "--port", str(port)]
            + ["--data-dir", str(folder), *arguments],
            cwd=settings.BASE_DIR,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        # Read all the time: a full pipe would stop the demo.
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        self._lines.extend(self._process.stdout)

    @property
    def said(self) -> str:
        """Everything it printed and logged so far."""
        return "".join(self._lines)

    def get(self, path: str) -> Any:
        """The JSON of a path; None when it is not served now."""
        try:
            answer = httpx2.get(self.url + path, timeout=5)
        except httpx2.TransportError:
            return None
        return answer.json() if answer.status_code == 200 else None

    def until(self, ask: Callable[[], T], what: str, timeout_s: float = 60.0) -> T:
        """What ``ask`` gives, as soon as it is true; the test fails after ``timeout_s``, or when the demo ends."""
        end = time.monotonic() + timeout_s
        pause = threading.Event()
        while not (found := ask()):
            assert self._process.poll() is None, f"the demo ended: {self.said}"
            assert time.monotonic() < end, f"{what}: not within {timeout_s} s; {self.said}"
            pause.wait(0.1)
        return found

    def wait(self, seconds: float) -> None:
        """Let it run for so long; it must not end by itself."""
        end = time.monotonic() + seconds
        self.until(lambda: time.monotonic() >= end, "the end of the wait", seconds + 1)

    def kill(self) -> None:
        """End it as a crash does."""
        self._process.kill()
        self._process.wait(10)

    def stop(self) -> int:
        """End it as an operator does; the exit code. Fails when it takes longer than ten seconds."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(10)
