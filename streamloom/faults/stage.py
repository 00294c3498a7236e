"""Everything that runs in a round: servers, exchange, roles and a listener. Every pid is ours."""

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx2
import structlog

from streamloom.demo.source import free_port
from streamloom.faults import oracle
from streamloom.faults.crew import Crew, run_once
from streamloom.faults.exchange import RunningExchange
from streamloom.faults.facts import Facts
from streamloom.faults.listener import Listener
from streamloom.faults.place import Place
from streamloom.services.native import NativeServices, ServiceFailed
from streamloom.supervisor.plan import preparations, roles

T = TypeVar("T")
logger = structlog.get_logger(__name__)

# BTCUSDT trades twice a second of its time and shares its partition with DOTUSDT, which trades less than once a minute:
# each can lose its last trade. ETHUSDT is in the other partition.
SYMBOLS: Final = ("BTCUSDT", "ETHUSDT", "DOTUSDT")
START: Final = "2026-03-02T10:50:30Z"
# An hour of the market is two minutes here.
SPEED: Final = 30
_LOOK_S: Final = 0.25


class NotReached(AssertionError):
    """Something did not come about in its time."""


class Stage:
    """One installation, running. Made by ``raised``."""

    def __init__(self, services: NativeServices, folder: Path, seed: int, *, slots: int, is_short: bool) -> None:
        self.services = services
        self.seed = seed
        # Of many like moments take a few, chosen by the seed.
        self.is_short = is_short
        self.place = Place(services)
        self.folder = folder / self.place.name
        self.folder.mkdir(parents=True)
        self.books = {symbol: oracle.market(seed, symbol) for symbol in SYMBOLS}
        self.exchange = RunningExchange("--seed", seed, "--start", START, "--speed", SPEED)
        self.environment = self.place.environment(self.exchange.rest_url, self.exchange.ws_url, self.folder)
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        plans = roles(port=port, slots=slots, workers=2, metrics=None)
        self.crew = Crew([plan for plan in plans if plan.name != "symbols"], self.environment, self.folder / "logs")
        self._symbols_plan = next(plan for plan in plans if plan.name == "symbols")
        self.facts = Facts(self.place)
        self.listener = Listener(self.url, SYMBOLS)

    def open(self) -> None:
        """Make the stores, start the roles, and wait for the first candles."""
        self.place.make()
        _together([lambda plan=plan: run_once(plan, self.environment) for plan in preparations()])
        run_once(self._symbols_plan, self.environment)
        self.place.watch_exactly(SYMBOLS)
        self.crew.start()
        self.until(lambda: all(self.candle_count(symbol) for symbol in SYMBOLS), "the first candles", 120)
        self.listener.start()

    def close(self) -> None:
        """End everything that was started here; the servers go on."""
        self.listener.stop()
        self.facts.close()
        self.crew.end()
        self.exchange.kill()

    def get(self, path: str) -> Any:
        """The JSON of a path; None when it is not served now."""
        try:
            answer = httpx2.get(self.url + path, timeout=10)
        except httpx2.TransportError:
            return None
        return answer.json() if answer.status_code == 200 else None

    def candle_count(self, symbol: str) -> int:
        """How many closed minutes are served."""
        return len((self.get(f"/candles?symbol={symbol}&interval=1m&limit=5") or {"candles": []})["candles"])

    def until(self, ask: Callable[[], T], what: str, timeout_s: float = 60.0) -> T:
        """What ``ask`` gives, as soon as it is true. Raises NotReached."""
        end = time.monotonic() + timeout_s
        while not (found := ask()):
            if time.monotonic() > end:
                raise NotReached(f"{what}: not within {timeout_s:.0f} s")
            self.wait(_LOOK_S)
        return found

    def chosen(self, moments: Sequence[T], chance: random.Random) -> list[T]:
        """All of the moments in some order, or two of them in a short run."""
        return chance.sample(moments, 2 if self.is_short else len(moments))

    def times(self, many: int) -> int:
        """How often to do what is done again and again."""
        return 1 if self.is_short else many

    def bring_back(self, name: str) -> None:
        """Start a server again. On a busy machine one that was killed may need more than its minute."""
        try:
            self.services.start(name)
        except ServiceFailed as problem:
            logger.warning("server_slow", server=name, error=str(problem)[:200], then="once more")
            self.services.start(name)

    def wait(self, seconds: float) -> None:
        """Let everything run for so long."""
        threading.Event().wait(seconds)

    def newest_due(self) -> dict[str, int]:
        """The newest trade that the exchange has sent by now, of each symbol."""
        now = self.exchange.now()
        due = {symbol: book.place_due(now) for symbol, book in self.books.items()}
        return {symbol: self.books[symbol].rows(place - 1, place)[0].trade_id for symbol, place in due.items()}


@contextmanager
def raised(
    services: NativeServices, folder: Path, seed: int, *, slots: int = 1, is_short: bool = False
) -> Iterator[Stage]:
    """A running stage for as long as the block lasts."""
    stage = Stage(services, folder, seed, slots=slots, is_short=is_short)
    try:
        stage.open()
        yield stage
    finally:
        stage.close()


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


def chance_of(seed: int, row: int) -> random.Random:
    """The chance of one row: the same for the same seed, whatever rows ran before."""
    return random.Random(seed * 1_000 + row)
