"""What ``ingest_klines`` works with: the exchange by REST and by streams, the log, the watch list and the progress."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import structlog

from ingestion.binance.feed import ConnectionState
from ingestion.klines.progress import Places
from ingestion.klines.track import PAGE_ROWS, Key, Question
from ingestion.log.port import Log, LogClosed, LogError
from ingestion.log.room import sink_has_room
from ingestion.pipeline.records import DeadLetter, Kline

logger = structlog.get_logger(__name__)

THREADS: Final = 4


class Rest(Protocol):
    """What this role asks the exchange: a part of ``BinanceRest``. Blocking; raises ExchangeError."""

    def server_time(self) -> int: ...

    def learn_limits(self, symbol: str) -> None: ...

    def klines(
        self, symbol: str, interval: str, *, start_time: int | None, end_time: int | None, limit: int
    ) -> list[Kline]: ...


class Streams(Protocol):
    """Where closed kline frames come from: ``KlineStreams``."""

    def watch(self, all_symbols: Sequence[str], klines_only: Sequence[str]) -> None: ...

    def turn(self, seconds: float) -> None: ...

    def take(self) -> tuple[list[Kline], list[DeadLetter]]: ...

    def clocks(self) -> Mapping[str, int]: ...

    def states(self) -> list[ConnectionState]: ...

    def refused_by_region(self) -> str | None: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Surroundings:
    """What the role works with. ``watched``: symbol -> are its trades watched too? ``rest`` answers what is new,
    ``history`` what is old, with less of the weight. ``disputed``: the candles of some symbols above a minute
    that differ from the kline, by open time. ``clock``: the machine's time, epoch seconds."""

    log: Log
    rest: Rest
    history: Rest
    streams: Streams
    watched: Callable[[], Mapping[str, bool]]
    load: Callable[[], Mapping[tuple[str, str], tuple[int, int]]]
    save: Callable[[Places], None]
    disputed: Callable[[Collection[str]], Mapping[Key, AbstractSet[int]]]
    pool: Any = field(default_factory=lambda: ThreadPoolExecutor(THREADS, "klines-rest"))
    clock: Callable[[], float] = time.time

    def has_room(self, topic: str, symbol: str) -> bool:
        """True while the sink can take more of what may wait; False where the log does not tell."""
        try:
            return sink_has_room(self.log, topic, symbol)
        except LogClosed:
            raise
        except LogError as error:
            logger.warning("room_unknown", topic=topic, error=str(error), then="history waits", hint="is the log up?")
            return False


def page_of(rest: Rest, question: Question) -> list[Kline]:
    """The answer to a question."""
    return rest.klines(
        question.symbol,
        question.interval.value,
        start_time=question.start,
        end_time=question.stop - 1,
        limit=PAGE_ROWS,
    )


def learn_limits(around: Surroundings, symbol: str) -> None:
    """Let both clients know the exchange's present weight limit."""
    for rest in (around.rest, around.history):
        rest.learn_limits(symbol)
