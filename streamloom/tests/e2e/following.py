"""The product following an exchange, started in either mode, for tests that read what it answers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

from streamloom.faults.exchange import RunningExchange
from streamloom.faults.installation import Installation
from streamloom.faults.invariants import judge
from streamloom.services.native import NativeServices
from streamloom.tests.demo.running import RunningDemo
from streamloom.tests.e2e import answers, verdict
from streamloom.tests.e2e.answers import Json

T = TypeVar("T")


class Following(Protocol):
    """What follows an exchange."""

    def get(self, path: str) -> Any:
        """The JSON of a path; None when it is not served now."""

    def until(self, ask: Callable[[], T], what: str, timeout_s: float = ...) -> T:
        """What ``ask`` gives, as soon as it is true. Raises AssertionError when it does not come."""

    def problems(self, held: Json) -> list[Any]:
        """What is not as it must be in log and tables of a day of which nothing is missing, once all is at rest."""

    def kill(self) -> None:
        """End it."""


class Together(RunningDemo):
    """Embedded: one process, its own stores in ``folder``."""

    def __init__(self, exchange: RunningExchange, *, folder: Path, symbol: str) -> None:
        super().__init__(exchange, folder, "--symbols", symbol, "--history", "0")
        self._folder, self._symbol = folder, symbol

    def problems(self, held: Json) -> list[Any]:
        self.until(lambda: answers.dirty(self, self._folder) == 0, "the last rebuild")
        assert self.stop() == 0
        letters: list[Any] = verdict.sound(self._folder, {self._symbol: held})["letters"]
        return letters


class WithServers(Installation):
    """Services: every role a process, on real servers."""

    def __init__(self, services: NativeServices, folder: Path, exchange: RunningExchange, *, symbol: str) -> None:
        # A replay begins with its first listener, which must be the one that takes the trades.
        super().__init__(services, folder, exchange, without=["klines"])
        self._symbol = symbol
        try:
            self.start([symbol])
        except BaseException:
            self.end()
            raise

    def problems(self, held: Json) -> list[Any]:
        self.until(lambda: self.facts.dirty() == 0, "the last rebuild")
        found = self.facts.look(self.facts.ends())
        return [*judge(found, {self._symbol: held["last_trade_id"]}), *found.letters]

    def kill(self) -> None:
        self.end()
