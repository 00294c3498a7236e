"""A small world with klines: an exchange that lags and halts, streams that lose frames, a log that may refuse."""

import random
from collections.abc import Collection, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from ingestion.binance.errors import BadRequest
from ingestion.binance.feed import ConnectionState
from ingestion.klines.role import IngestKlines
from ingestion.klines.surroundings import Surroundings
from ingestion.klines.track import Policy
from ingestion.log import codec
from ingestion.log.port import Log
from ingestion.log.topics import DEAD_LETTERS, PRICES
from ingestion.pipeline.records import DeadLetter, Kline
from markets.types import SCALE, Interval

SYMBOL = "BTCUSDC"
# 2026-11-20 12:00 UTC: nothing in the code may take it for another day.
NOON = 1_795_176_000_000
POLICY = Policy(rows={"1s": 30, "1m": 20, "15m": 8, "1h": 4, "1d": 2}, rng=random.Random(1))


class Killed(BaseException):
    """Stands for SIGKILL: nobody may catch it and go on."""


def make_kline(symbol: str, interval: Interval, open_time: int, trades: int = 7, source: str = "rest") -> Kline:
    """A closed kline; how many trades it has tells a whole one from one that was read too early."""
    end = interval.next_open(open_time)
    fills = (-1, -1) if source == "rest" else (open_time // 1000, open_time // 1000 + trades - 1)
    amounts = (5 * SCALE, 500 * SCALE, trades, 2 * SCALE, 200 * SCALE)
    prices = (100 * SCALE, 101 * SCALE, 99 * SCALE, 100 * SCALE)
    told = end - 1 if source == "rest" else end + 50
    return Kline(symbol, interval.value, open_time, end - 1, *prices, *amounts, *fills, True, source, told)


@dataclass
class Exchange:
    """REST. ``now``: its clock; ``lag_ms``: how far REST is behind; ``halts``: spans without klines.

    A bucket that REST has not seen the end of is served short, as the running one.
    """

    now: int = NOON
    lag_ms: int = 0
    listed: int = NOON - 400 * 86_400_000
    halts: list[tuple[int, int]] = field(default_factory=list)
    short: dict[int, int] = field(default_factory=dict)
    asked: list[tuple[str, str, int, int]] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)
    delisted: set[str] = field(default_factory=set)
    limits_asked: int = 0

    def server_time(self) -> int:
        return self.now

    def learn_limits(self, symbol: str) -> None:
        self.limits_asked += 1
        if symbol in self.delisted:
            raise BadRequest(-1121, "Invalid symbol.")

    def has(self, interval: Interval, open_time: int) -> bool:
        end = interval.next_open(open_time)
        is_halted = any(start <= open_time and end <= stop for start, stop in self.halts)
        return open_time >= self.listed and not is_halted

    def klines(
        self, symbol: str, interval: str, *, start_time: int | None, end_time: int | None, limit: int
    ) -> list[Kline]:
        assert start_time is not None
        assert end_time is not None
        self.asked.append((symbol, interval, start_time, end_time))
        if self.errors:
            raise self.errors.pop(0)
        width, known = Interval(interval), self.now - self.lag_ms
        rows: list[Kline] = []
        open_time = width.open_of(start_time + (width.width_ms or 0) - 1)
        while open_time <= min(end_time, known) and len(rows) < limit:
            if self.has(width, open_time):
                is_whole = width.next_open(open_time) <= known
                trades = self.short.get(open_time, 7) if is_whole else 3
                rows.append(make_kline(symbol, width, open_time, trades))
            open_time = width.next_open(open_time)
        return rows


@dataclass
class Streams:
    """Closed frames on demand; ``time``: what running frames have told."""

    klines: list[Kline] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)
    time: dict[str, int] = field(default_factory=dict)
    watched: tuple[list[str], list[str]] = ([], [])

    def watch(self, all_symbols: Sequence[str], klines_only: Sequence[str]) -> None:
        self.watched = (list(all_symbols), list(klines_only))

    def turn(self, seconds: float) -> None: ...

    def take(self) -> tuple[list[Kline], list[DeadLetter]]:
        taken = self.klines, self.letters
        self.klines, self.letters = [], []
        return taken

    def clocks(self) -> dict[str, int]:
        return self.time

    def states(self) -> list[ConnectionState]:
        return []

    def refused_by_region(self) -> str | None:
        return None

    def close(self) -> None: ...


class AtOnce:
    """An executor that does it now: every answer is there when the role looks for it."""

    def submit(self, call: Any, *args: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(call(*args))
        except Exception as error:  # noqa: BLE001 - as an executor does
            future.set_exception(error)
        return future

    def shutdown(self, **_: Any) -> None: ...


class MortalLog:
    """The log; appends may be refused, or be the last thing that happens."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self.die_before = self.die_after = 0
        self.refusals: list[BaseException] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def append(self, topic: str, records: Any) -> None:
        if self.refusals:
            raise self.refusals.pop(0)
        self.die_before -= 1
        if self.die_before == 0:
            raise Killed
        self._log.append(topic, records)
        self.die_after -= 1
        if self.die_after == 0:
            raise Killed


class World:
    """Everything together, for symbols of which the trades are watched (True) or not."""

    def __init__(self, log: Log, policy: Policy = POLICY, **symbols: bool) -> None:
        self.log, self.policy = log, policy
        self.symbols = symbols or {SYMBOL: False}
        self.exchange, self.streams, self.mortal = Exchange(), Streams(), MortalLog(log)
        self.places: dict[tuple[str, str], tuple[int, int]] = {}
        self.disputed: dict[tuple[str, Interval], set[int]] = {}
        self.machine_s = 1_000_000.0
        self.die_before_save = False
        self.role = self.make_role()

    def make_role(self) -> IngestKlines:
        around = Surroundings(
            self.mortal, self.exchange, self.exchange, self.streams, lambda: self.symbols,
            lambda: dict(self.places), self.save, self.find_disputed, AtOnce(), lambda: self.machine_s,
        )  # fmt: skip
        return IngestKlines(around, self.policy)

    def find_disputed(self, symbols: Collection[str]) -> dict[tuple[str, Interval], set[int]]:
        return {key: opens for key, opens in self.disputed.items() if key[0] in symbols}

    def save(self, places: Any) -> None:
        if self.die_before_save:
            raise Killed
        self.places.update(places)

    def step(self, seconds: float = 0.5, *, streamed: bool = False) -> None:
        """Time passes, on the machine and at the exchange; ``streamed``: closed frames come as they should."""
        before = self.exchange.now
        self.exchange.now += round(seconds * 1000)
        self.machine_s += seconds
        for symbol, is_traded in self.symbols.items():
            self.streams.time[symbol] = self.exchange.now
            if streamed:
                self.frames(symbol, before, self.exchange.now, [Interval.S1] if is_traded else list(_STREAMED))
        self.role.step()

    def frames(self, symbol: str, since: int, until: int, intervals: Sequence[Interval]) -> None:
        """The closed frames of the buckets that end in ``(since, until]``."""
        for interval in intervals:
            end = interval.next_open(interval.open_of(since))
            while end <= until:
                open_time = interval.step_back(end, 1)
                if self.exchange.has(interval, open_time):
                    self.streams.klines.append(make_kline(symbol, interval, open_time, source="simulated"))
                end = interval.next_open(end)

    def pass_time(self, seconds: float, *, step_s: float = 5.0, streamed: bool = False) -> None:
        for _ in range(round(seconds / step_s)):
            self.step(step_s, streamed=streamed)

    def kill(self) -> None:
        """Forget everything that is neither in the log nor saved."""
        self.streams.klines, self.streams.letters = [], []
        self.mortal.die_before = self.mortal.die_after = 0
        self.die_before_save = False
        self.role = self.make_role()

    def written(self, interval: Interval, symbol: str = SYMBOL) -> list[Kline]:
        """What is in the log, in its order."""
        topic = PRICES[interval.value].name
        partition = self.log.partition_of(topic, symbol)
        records = self.log.read_range(topic, partition, 0, self.log.end_offset(topic, partition))
        return [kline for kline in map(codec.kline, (r.value for r in records)) if kline.symbol == symbol]

    def newest(self, interval: Interval, symbol: str = SYMBOL) -> dict[int, Kline]:
        """What the table would hold: of two reports the one that was asked for later, and REST before the stream."""
        held: dict[int, Kline] = {}
        for kline in self.written(interval, symbol):
            old = held.get(kline.open_time)
            if old is None or _rank(kline) >= _rank(old):
                held[kline.open_time] = kline
        return held

    def letters(self) -> list[DeadLetter]:
        end = self.log.end_offset(DEAD_LETTERS.name, 0)
        return [codec.dead_letter(r.value) for r in self.log.read_range(DEAD_LETTERS.name, 0, 0, end)]


def _rank(kline: Kline) -> tuple[bool, int]:
    return kline.source == "rest", kline.event_time


_STREAMED = (Interval.S1, Interval.M1, Interval.M15, Interval.H1, Interval.D1)
