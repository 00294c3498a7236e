"""Everything that runs in a round: servers, exchange, roles and a listener. Every pid is ours."""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

import structlog

from streamloom.faults import oracle
from streamloom.faults.exchange import RunningExchange
from streamloom.faults.installation import Installation, NotReached
from streamloom.faults.listener import Listener
from streamloom.services.native import NativeServices, ServiceFailed

__all__ = ["SYMBOLS", "NotReached", "Stage", "chance_of", "raised"]

T = TypeVar("T")
logger = structlog.get_logger(__name__)

# BTCUSDT trades twice a second of its time and shares its partition with DOTUSDT, which trades less than once a minute:
# each can lose its last trade. ETHUSDT is in the other partition.
SYMBOLS: Final = ("BTCUSDT", "ETHUSDT", "DOTUSDT")
START: Final = "2026-03-02T10:50:30Z"
# An hour of the market is two minutes here.
SPEED: Final = 30
# So many minutes of each symbol before anything is done: a row that is over at once compares something, too.
_BEFORE: Final = 5


class Stage(Installation):
    """One installation and its made-up market, running. Made by ``raised``."""

    def __init__(self, services: NativeServices, folder: Path, seed: int, *, slots: int, is_short: bool) -> None:
        exchange = RunningExchange("--seed", seed, "--start", START, "--speed", SPEED)
        super().__init__(services, folder, exchange, slots=slots)
        self.seed = seed
        # Of many like moments take a few, chosen by the seed.
        self.is_short = is_short
        self.books = {symbol: oracle.market(seed, symbol) for symbol in SYMBOLS}
        self.listener = Listener(self.url, SYMBOLS)

    def open(self) -> None:
        """Start the roles on new stores, and wait for the first candles."""
        self.start(SYMBOLS)
        self.until(lambda: all(self.candle_count(symbol) >= _BEFORE for symbol in SYMBOLS), "the first candles", 120)
        self.listener.start()

    def close(self) -> None:
        """End everything that was started here; the servers go on."""
        self.listener.stop()
        self.end()
        self.exchange.kill()

    def candle_count(self, symbol: str) -> int:
        """How many closed minutes are served, as far as that matters."""
        page = self.get(f"/candles?symbol={symbol}&interval=1m&limit={_BEFORE}") or {"candles": []}
        return len(page["candles"])

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

    def dig(self, symbol: str, first_id: int, last_id: int) -> None:
        """Ids that were not traded yet never will be: real holes, for the exchange and for the oracle."""
        book = self.books[symbol]
        book.set_holes([*book.holes, (first_id, last_id)])
        self.exchange.dig(symbol, first_id, last_id)

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


def chance_of(seed: int, row: int) -> random.Random:
    """The chance of one row: the same for the same seed, whatever rows ran before."""
    return random.Random(seed * 1_000 + row)
