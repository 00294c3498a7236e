"""The control endpoint: faults while the exchange runs.

``GET /control/faults`` the plan in force · ``POST /control/faults`` {name: value} changes it ·
``DELETE /control/faults`` ends all faults · ``POST /control/cut`` · ``POST /control/shutdown`` {"delay_s": 10} ·
``POST /control/refuse`` {"status": 429, "for_s": 10, "retry_after_s": 2} · ``POST /control/malformed``
{"text": "..."} · ``GET /control/status``.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ingestion.binance.simulator.faults import FaultPlan
from ingestion.binance.simulator.pace import Pace
from ingestion.binance.simulator.pump import Pump
from ingestion.binance.simulator.weights import Weights

_BROKEN = '{"e":"aggTrade","E":17000000'

Handler = Callable[[Request], Awaitable[Response]]


class Control:
    """Puts faults in force and does the ones that happen once. Runs in the server's event loop."""

    def __init__(self, pump: Pump, weights: Weights, pace: Pace, initial: FaultPlan) -> None:
        self._pump, self._weights, self._pace = pump, weights, pace
        self._initial = initial
        self._tasks: set[asyncio.Task[None]] = set()

    def change(self, fields: dict[str, Any]) -> FaultPlan:
        """The plan with these fields changed, now in force. Raises ValueError."""
        self._pump.apply(self._pump.plan.changed(fields))
        return self._pump.plan

    def end(self) -> FaultPlan:
        """No faults any more."""
        self._pump.apply(FaultPlan(seed=self._initial.seed))
        return self._pump.plan

    def cut(self) -> dict[str, int]:
        """End all connections without a word."""
        return {"connections": self._pump.cut()}

    def shut_down(self, delay_s: float = 10.0) -> dict[str, int]:
        """Announce the end to all connections, and end them after the delay."""
        task = asyncio.get_running_loop().create_task(self._pump.shut_down(delay_s))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return {"connections": len(self._pump.readers)}

    def refuse(self, status: int = 429, for_s: float = 10.0, retry_after_s: int = 1) -> dict[str, int]:
        """Answer every REST request with 429 or 418 for a while. Raises ValueError."""
        self._weights.force(status, for_s, retry_after_s)
        return {"status": status}

    def malformed(self, text: str = _BROKEN) -> dict[str, int]:
        """Send every connection this text as it is."""
        return {"connections": self._pump.say_raw(text)}

    def status(self) -> dict[str, int]:
        """The clock, and how many connections are open."""
        return {"time": self._pace.now(), "connections": len(self._pump.readers)}

    def routes(self) -> list[Route]:
        """The endpoints."""
        return [
            Route("/control/faults", self._faults, methods=["GET", "POST", "DELETE"]),
            Route("/control/status", self._status, methods=["GET"]),
            Route("/control/cut", _does(self.cut), methods=["POST"]),
            Route("/control/shutdown", _does(self.shut_down), methods=["POST"]),
            Route("/control/refuse", _does(self.refuse), methods=["POST"]),
            Route("/control/malformed", _does(self.malformed), methods=["POST"]),
        ]

    async def _status(self, _: Request) -> Response:
        return _json(self.status())

    async def _faults(self, request: Request) -> Response:
        if request.method == "DELETE":
            return _json(self.end())
        if request.method == "POST":
            return await _does(lambda **fields: self.change(fields))(request)
        return _json(self._pump.plan)


def _does(action: Callable[..., Any]) -> Handler:
    async def handle(request: Request) -> Response:
        body = await request.body()
        try:
            fields = msgspec.json.decode(body or b"{}", type=dict[str, Any])
            return _json(action(**fields))
        except (ValueError, TypeError) as error:
            return _json({"error": str(error)}, 400)

    return handle


def _json(body: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status, media_type="application/json")
