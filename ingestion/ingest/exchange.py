"""REST questions from the event loop, and what the exchange's own clock allows frames to claim."""

import asyncio
import random
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Protocol, TypeVar

import structlog

from ingestion.binance.backoff import Backoff
from ingestion.binance.errors import ExchangeBusy, ExchangeError
from ingestion.binance.metrics import EXCHANGE_QUESTIONS_FAILED
from ingestion.pipeline.records import Trade

log = structlog.get_logger(__name__)

T = TypeVar("T")

# A frame further than this ahead of what is known must be vouched for by the exchange's clock.
TOLERANCE_MS = 60_000
# How long a doubtful frame holds its connection back while the exchange does not answer.
DOUBT_PATIENCE_S = 10.0
REFUSAL_KEPT_S = 1.0


class Rest(Protocol):
    """What ingest asks the exchange: a part of ``BinanceRest``. Blocking; raises ExchangeError."""

    def server_time(self) -> int: ...

    def agg_trades(
        self,
        symbol: str,
        *,
        from_id: int | None = None,
        start_time: int | None = None,
        end_time: int | None = None,
        limit: int = 1000,
    ) -> list[Trade]: ...


class Exchange:
    """The blocking REST client, asked from threads."""

    def __init__(self, rest: Rest, executor: Executor, *, rng: random.Random) -> None:
        self._rest, self._executor, self._rng = rest, executor, rng
        self._backoff = Backoff(first_s=0.5, cap_s=30.0)

    async def server_time(self) -> int:
        """The exchange's clock, epoch ms. Raises ExchangeError."""
        return await self._ask(self._rest.server_time)

    async def insist_on_time(self) -> int:
        """The exchange's clock; asks until it is answered."""
        return await self.insist("server_time", self._rest.server_time)

    async def last_before(self, symbol: str, time_ms: int) -> Trade | None:
        """The last trade before ``time_ms``; asks until it is answered."""
        return await self._one("last_before", lambda: self._rest.agg_trades(symbol, end_time=time_ms - 1, limit=1))

    async def first_from(self, symbol: str, time_ms: int) -> Trade | None:
        """The first trade at or after ``time_ms``; asks until it is answered."""
        return await self._one("first_from", lambda: self._rest.agg_trades(symbol, start_time=time_ms, limit=1))

    async def newest(self, symbol: str) -> Trade | None:
        """The newest trade that REST has (it may lag behind the stream); asks until it is answered."""
        return await self._one("newest", lambda: self._rest.agg_trades(symbol, limit=1))

    async def first_wanted_id(self, symbol: str, minute: int) -> int | None:
        """The id from which on a segment that begins at ``minute`` is held.

        The trade before it, because that one gives the close before the first minute; where there is none, the
        first one; None when the exchange has no trade at all.
        """
        trade = await self.last_before(symbol, minute) or await self.first_from(symbol, minute)
        return None if trade is None else trade.trade_id

    async def insist(self, question: str, call: Callable[[], T]) -> T:
        """The answer to ``call``, asked again with growing waits until the exchange gives one."""
        failures = 0
        while True:
            try:
                return await self._ask(call)
            except ExchangeError as error:
                failures += 1
                EXCHANGE_QUESTIONS_FAILED.labels(question).inc()
                wait_s = self._backoff.delay_s(failures, self._rng)
                if isinstance(error, ExchangeBusy):
                    wait_s = max(wait_s, error.retry_after_s)
                log.warning(
                    "The exchange does not answer by REST; asking again (check BINANCE_REST_URL)",
                    question=question,
                    error=str(error),
                    wait_s=round(wait_s, 1),
                )
                await asyncio.sleep(wait_s)

    async def _one(self, question: str, call: Callable[[], list[Trade]]) -> Trade | None:
        rows = await self.insist(question, call)
        return rows[-1] if rows else None

    async def _ask(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, call)


class ServerTime:
    """An upper bound on the feed's time: no honest frame is ahead of the exchange's own clock.

    It bounds from above only. A replay at reading speed has its clock hours ahead of the frames that still wait in
    our socket, so a frame far *behind* the server's time is no reason to doubt it.
    """

    def __init__(self, exchange: Exchange, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._exchange, self._clock = exchange, clock
        # The exchange's clock never goes back, so an answer stays a lower bound of it for ever.
        self._known: int | None = None
        self._asked_at = 0.0
        self._refused: tuple[int, float] | None = None
        self._asking = asyncio.Lock()

    async def allows(self, moment: int) -> bool:
        """True when the exchange's clock is not more than a minute behind ``moment``."""
        if self._reaches(moment):
            return True
        async with self._asking:
            if self._reaches(moment):
                return True
            if self._was_refused(moment):
                return False
            answered = await self._learn(moment)
        if self._reaches(moment) or (not answered and self._reaches(moment, self._elapsed_ms())):
            return True
        self._refused = (moment, self._clock())
        return False

    def believed(self, moment: int) -> None:
        """A connection that ended had come so far: the next one goes on from there without a question.

        Else a replay faster than time would turn honest frames away while REST refuses to answer.
        """
        if self._known is not None and moment > self._known:
            self._known, self._asked_at = moment, self._clock()

    def _reaches(self, moment: int, allowance_ms: int = 0) -> bool:
        return self._known is not None and moment <= self._known + allowance_ms + TOLERANCE_MS

    def _elapsed_ms(self) -> int:
        """While REST is away the exchange's clock is taken to run on like ours: live trades go on."""
        return int((self._clock() - self._asked_at) * 1000)

    def _was_refused(self, moment: int) -> bool:
        """A burst of frames from the future costs one question a second, not one each."""
        if self._refused is None:
            return False
        refused, at = self._refused
        return moment >= refused and self._clock() - at < REFUSAL_KEPT_S

    async def _learn(self, moment: int) -> bool:
        """Ask; without any answer ever, ask on: the first clock must not be a guess."""
        give_up_at = self._clock() + DOUBT_PATIENCE_S
        while True:
            try:
                answer = await self._exchange.server_time()
            except ExchangeError as error:
                EXCHANGE_QUESTIONS_FAILED.labels("server_time").inc()
                log.warning("The exchange does not tell its time (check BINANCE_REST_URL)", error=str(error))
                if self._known is not None and (
                    self._clock() >= give_up_at or self._reaches(moment, self._elapsed_ms())
                ):
                    return False
                await asyncio.sleep(1.0)
            else:
                self._known = max(answer, self._known or 0)
                self._asked_at = self._clock()
                return True
