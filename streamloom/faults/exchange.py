"""The simulated exchange as a process of its own: it goes on whoever else is dead."""

import re
from typing import Any

import httpx2
import msgspec

from ingestion.binance.simulator.faults import FaultPlan
from streamloom.faults.running import RunningCommand


class RunningExchange(RunningCommand):
    """``manage.py simulate_exchange`` on a free port; ready when made."""

    def __init__(self, *arguments: object) -> None:
        super().__init__("simulate_exchange", "--port", 0, *arguments)
        try:
            found = self.until(lambda: re.search(r"http://([\d.:]+)/api", self.said), "the exchange's address")
        except AssertionError:
            self.kill()
            raise
        self.rest_url, self.ws_url = f"http://{found[1]}", f"ws://{found[1]}"
        self._holes: dict[str, list[tuple[int, int]]] = {}

    def now(self) -> int:
        """Its clock, epoch ms."""
        return int(self._control("GET", "status")["time"])

    def change(self, **faults: object) -> None:
        """Put faults in force (fields of ``FaultPlan``)."""
        self._control("POST", "faults", faults)

    def dig(self, symbol: str, first_id: int, last_id: int) -> None:
        """These ids never were, from now on and for ever."""
        self._holes.setdefault(symbol, []).append((first_id, last_id))
        self.change(holes=self._holes)

    def behave(self) -> None:
        """No faults any more. What never was stays so."""
        usual = msgspec.structs.asdict(FaultPlan(holes=self._holes))
        self.change(**{name: value for name, value in usual.items() if name != "seed"})

    def do(self, what: str, **how: object) -> None:
        """``cut``, ``shutdown``, ``refuse`` or ``malformed``, once."""
        self._control("POST", what, how)

    def _control(self, method: str, name: str, body: dict[str, object] | None = None) -> Any:
        answer = httpx2.request(method, f"{self.rest_url}/control/{name}", json=body, timeout=10)
        return answer.raise_for_status().json()
