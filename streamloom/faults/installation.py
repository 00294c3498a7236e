"""Everything of one installation as processes whose pids are ours: its stores are new, its exchange is given."""

import threading
import time
from collections.abc import Callable, Collection, Iterable
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx2

from streamloom.demo.source import free_port
from streamloom.faults.crew import Crew, run_once
from streamloom.faults.exchange import RunningExchange
from streamloom.faults.facts import Facts
from streamloom.faults.place import Place
from streamloom.services.native import NativeServices
from streamloom.supervisor.plan import preparations, roles

T = TypeVar("T")

_LOOK_S: Final = 0.25
# Commands that run beside each other, and beside whatever else the machine does: seconds when it is free.
_PREPARED_WITHIN_S: Final = 300.0


class NotReached(AssertionError):
    """Something did not come about in its time."""


class Installation:
    """Every role on real servers, following ``exchange`` as if it were Binance. Runs between ``start`` and ``end``.

    ``without``: roles that are left out.
    """

    def __init__(
        self,
        services: NativeServices,
        folder: Path,
        exchange: RunningExchange,
        *,
        slots: int = 1,
        without: Collection[str] = (),
    ) -> None:
        self.services = services
        self.place = Place(services)
        self.folder = folder / self.place.name
        self.folder.mkdir(parents=True)
        self.exchange = exchange
        self.environment = self.place.environment(exchange.rest_url, exchange.ws_url, self.folder)
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        plans = roles(port=port, slots=slots, workers=2, metrics=None)
        kept = [plan for plan in plans if plan.name not in {"symbols", *without}]
        self.crew = Crew(kept, self.environment, self.folder / "logs")
        self._symbols_plan = next(plan for plan in plans if plan.name == "symbols")
        self.facts = Facts(self.place)

    def start(self, symbols: Iterable[str]) -> None:
        """Make the stores and start the roles; they follow these symbols."""
        self.place.make()
        _together([partial(run_once, plan, self.environment, _PREPARED_WITHIN_S) for plan in preparations()])
        run_once(self._symbols_plan, self.environment, _PREPARED_WITHIN_S)
        self.place.watch_exactly(symbols)
        self.crew.start()

    def end(self) -> None:
        """End every role; the servers go on."""
        self.facts.close()
        self.crew.end()

    def get(self, path: str) -> Any:
        """The JSON of a path; None when it is not served now."""
        try:
            answer = httpx2.get(self.url + path, timeout=10)
        except httpx2.TransportError:
            return None
        return answer.json() if answer.status_code == 200 else None

    def until(self, ask: Callable[[], T], what: str, timeout_s: float = 60.0) -> T:
        """What ``ask`` gives, as soon as it is true. Raises NotReached."""
        end = time.monotonic() + timeout_s
        while not (found := ask()):
            if time.monotonic() > end:
                raise NotReached(f"{what}: not within {timeout_s:.0f} s")
            self.wait(_LOOK_S)
        return found

    def wait(self, seconds: float) -> None:
        """Let everything run for so long."""
        threading.Event().wait(seconds)


def _together(works: list[Callable[[], Any]]) -> None:
    """Do them at once; the first error is raised when all are done."""
    errors: list[Exception] = []

    def guarded(work: Callable[[], Any]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - the thread's top: it is raised in ours
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for error in errors:
        raise error
