"""The demo as a process of its own, for tests that look at it from outside and kill it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import httpx2

from streamloom.demo.source import free_port
from streamloom.faults.running import RunningCommand

__all__ = ["RunningCommand", "RunningDemo"]


class Exchange(Protocol):
    """Where an exchange is served: base of ``/api/v3/…``, and of ``/ws`` and ``/stream``."""

    @property
    def rest_url(self) -> str: ...

    @property
    def ws_url(self) -> str: ...


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
