"""What is held of one symbol's klines of one interval, and what to ask the exchange for. Pure.

``clock`` is the symbol's feed time (epoch ms) and decides what has ended; ``now_s`` is the machine's time (epoch
seconds) and only says when to ask again.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from ingestion.binance.backoff import Backoff
from ingestion.pipeline.records import Kline
from markets.types import Interval

PAGE_ROWS: Final = 1_000

Key = tuple[str, Interval]


class Aim(IntEnum):
    """What a question is for; the lower goes first, so that what is new is never delayed by what is old."""

    DISPUTE = 0
    RECENT = 1
    HISTORY = 2


@dataclass(frozen=True)
class Policy:
    """When to ask.

    ``settle_ms``: feed time after a bucket's end before REST is asked: its streamed frame comes earlier, and REST lags.
    ``believe_ms``: feed time after a bucket's end from which REST is believed about it though it has no later row: that
    its row is whole, that it has none. Before, REST may only lag.
    ``spacing_s``: between two questions about the newest buckets of one track. ``rows``: how many buckets back a new
    track reaches, by interval. ``lag``, ``refused``: waits after an answer without news, and after a refusal.
    """

    settle_ms: int = 10_000
    believe_ms: int = 600_000
    spacing_s: float = 10.0
    rows: dict[str, int] = field(default_factory=dict)
    lag: Backoff = Backoff(first_s=2.0, cap_s=60.0)
    refused: Backoff = Backoff(first_s=10.0, cap_s=600.0)
    rng: random.Random = field(default_factory=random.Random)


@dataclass(frozen=True, slots=True)
class Question:
    """Klines of ``symbol`` and ``interval`` that open in ``[start, stop)`` (epoch ms); ``wants``: these of them.

    ``asked_at``: the symbol's clock when it was asked. An answer is judged by that one: it may be old when it is
    looked at. It is the time of its rows, too: of two reports of a bucket the one that was asked for later counts.
    """

    aim: Aim
    symbol: str
    interval: Interval
    start: int
    stop: int
    asked_at: int
    wants: frozenset[int] = frozenset()


@dataclass(slots=True)
class Track:
    """Every bucket that opens in ``[first_open, next_open)`` was asked for or received.

    ``floor``: how far back it is to reach. ``ahead``: buckets received beyond a missing one. ``asking``: a question of
    it is under way. ``served``: the turn of its last question.
    """

    symbol: str
    interval: Interval
    first_open: int
    next_open: int
    floor: int
    ahead: set[int] = field(default_factory=set)
    asking: bool = False
    due_s: float = 0.0
    failures: int = 0
    served: int = 0
    newest: Kline | None = None

    def receive(self, open_time: int) -> None:
        """The bucket's closed kline came by a stream."""
        if open_time >= self.next_open:
            self.ahead.add(open_time)
            self._advance(self.next_open)

    def reach_back(self, floor: int) -> None:
        """Buckets from ``floor`` on are wanted; never fewer than before."""
        self.floor = min(self.floor, self.interval.open_of(floor))

    def lag_ms(self, clock: int, policy: Policy) -> int:
        """By how much the newest bucket is overdue."""
        return max(0, clock - policy.settle_ms - self.interval.next_open(self.next_open))

    def question(self, clock: int, now_s: float, policy: Policy) -> Question | None:
        """What to ask now, if anything."""
        if self.asking or now_s < self.due_s:
            return None
        if self.interval.next_open(self.next_open) + policy.settle_ms <= clock:
            return self._recent(clock)
        if self.first_open > self.floor:
            start = max(self.floor, self.interval.step_back(self.first_open, PAGE_ROWS))
            return Question(Aim.HISTORY, self.symbol, self.interval, start, self.first_open, clock)
        return None

    def take_recent(self, question: Question, rows: Sequence[Kline], now_s: float, policy: Policy) -> list[Kline]:
        """The rows of the answer that are news, ascending; ``next_open`` moves past everything that is settled.

        A bucket is settled once REST has a later row: it knows that the bucket has ended, however far it lags. Without
        one (the market is halted) it is settled when REST has had ``believe_ms``.
        """
        settled = self.interval.open_of(question.asked_at - policy.believe_ms)
        if rows:
            settled = max(settled, min(rows[-1].open_time, self.interval.open_of(question.asked_at)))
        settled = min(settled, question.stop)
        corrected = [row for row in rows if row.open_time < self.next_open and self._corrects(row)]
        fresh = [row for row in rows if self.next_open <= row.open_time < settled]
        if settled <= self.next_open:
            self.postpone(now_s, policy.lag, policy.rng)
        else:
            self.failures = 0
            self.due_s = now_s + policy.spacing_s if settled < question.stop else now_s
            self._advance(settled)
        taken = corrected + fresh
        self.newest = taken[-1] if taken else self.newest
        return taken

    def take_history(self, question: Question, rows: Sequence[Kline]) -> list[Kline]:
        """The rows of the answer; what it does not name the exchange has not."""
        self.failures = 0
        taken = [row for row in rows if question.start <= row.open_time < self.first_open]
        self.first_open = min(self.first_open, question.start)
        return taken

    def postpone(self, now_s: float, wait: Backoff, rng: random.Random) -> None:
        """The question brought nothing: ask again later, with growing waits."""
        self.failures += 1
        self.due_s = now_s + wait.delay_s(self.failures, rng)

    def _recent(self, clock: int) -> Question:
        """From one bucket earlier, because the row read last may have been corrected since; up to a page."""
        # Up to the bucket after the missing ones, whose row proves that they have ended.
        missing_to = min(self.ahead) if self.ahead else self.interval.open_of(clock)
        stop = min(self.interval.next_open(missing_to), self.interval.step_back(self.next_open, 2 - PAGE_ROWS))
        start = self.interval.step_back(self.next_open, 1)
        return Question(Aim.RECENT, self.symbol, self.interval, start, stop, clock)

    def _corrects(self, row: Kline) -> bool:
        """True for the row read last by REST when it says something else now."""
        return self.newest is not None and row.open_time == self.newest.open_time and row != self.newest

    def _advance(self, to: int) -> None:
        self.next_open = max(self.next_open, to)
        while self.next_open in self.ahead:
            self.next_open = self.interval.next_open(self.next_open)
        if self.ahead and min(self.ahead) < self.next_open:
            self.ahead = {open_time for open_time in self.ahead if open_time >= self.next_open}


def begin(symbol: str, interval: Interval, clock: int, policy: Policy) -> Track:
    """A track of which nothing is held: from about now on, and as far back as the policy says.

    From a while before now: history is believed as it comes, the newest rows of REST only as they are followed.
    """
    open_time = interval.open_of(clock - policy.believe_ms)
    floor = interval.step_back(open_time, policy.rows.get(interval.value, 0))
    return Track(symbol, interval, open_time, open_time, max(0, floor))
