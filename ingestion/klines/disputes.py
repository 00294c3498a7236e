"""Candles that differ from the kline: a row that REST gave too early may be short, so it is asked again.

Pure: time is an argument. Of minutes the log tells, by their verdicts; of larger candles the database, all at once.
"""

import math
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Final

from ingestion.klines.track import PAGE_ROWS, Aim, Key, Question
from markets.types import Interval

# Machine seconds before each time that a disputed candle's kline is asked for.
WAITS_S: Final = (10.0, 60.0, 600.0, 3600.0)
# A long hole disputes many minutes; beyond this the oldest are left to the audit.
MOST: Final = 20_000
_DISPUTED: Final = "disputed"
_NEVER: Final = math.inf


@dataclass(slots=True)
class _Dispute:
    due_s: float
    asked: int = 0


@dataclass
class Disputes:
    """The disputed candles of every symbol and interval, by open time."""

    _open: dict[Key, dict[int, _Dispute]] = field(default_factory=dict)
    _asking: set[Key] = field(default_factory=set)

    def take(self, symbol: str, open_time: int, state: str, now_s: float) -> None:
        """A verdict or a new version of a minute was published."""
        minutes = self._open.setdefault((symbol, Interval.M1), {})
        if state != _DISPUTED:
            minutes.pop(open_time, None)
        elif open_time not in minutes:
            minutes[open_time] = _Dispute(now_s + WAITS_S[0])
            while len(minutes) > MOST:
                del minutes[min(minutes)]

    def take_larger(self, told: Mapping[Key, AbstractSet[int]], now_s: float) -> None:
        """These candles above a minute are disputed now, and no others."""
        for key in told.keys() | {key for key in self._open if key[1] is not Interval.M1}:
            here, buckets = told.get(key, frozenset()), self._open.setdefault(key, {})
            for over in buckets.keys() - here:
                del buckets[over]
            for new in here - buckets.keys():
                buckets[new] = _Dispute(now_s + WAITS_S[0])

    def knows(self, symbol: str) -> bool:
        """True when a minute of the symbol is disputed."""
        return bool(self._open.get((symbol, Interval.M1)))

    def __len__(self) -> int:
        """How many are still to be asked for."""
        return sum(dispute.due_s < _NEVER for buckets in self._open.values() for dispute in buckets.values())

    def questions(self, clocks: Mapping[str, int], now_s: float) -> list[Question]:
        """One for each interval of these symbols that has candles due, the newest first: those that fit on a page."""
        keys = [key for key in self._open if key[0] in clocks]
        found = [self._question(key, clocks[key[0]], now_s) for key in keys]
        return sorted((one for one in found if one is not None), key=lambda question: -question.stop)

    def asking(self, question: Question) -> None:
        """The question is under way."""
        self._asking.add(_key(question))

    def answered(self, question: Question, now_s: float) -> None:
        """The rows of the candles in ``question.wants`` came: look again later, and at last no more."""
        key = _key(question)
        self._asking.discard(key)
        buckets = self._open.get(key, {})
        for open_time in question.wants & buckets.keys():
            dispute = buckets[open_time]
            dispute.asked += 1
            if dispute.asked < len(WAITS_S):
                dispute.due_s = now_s + WAITS_S[dispute.asked]
            elif key[1] is Interval.M1:
                del buckets[open_time]
            else:
                # It is told of for as long as it differs: forgotten, it would be asked for from the start again.
                dispute.due_s = _NEVER

    def failed(self, question: Question, now_s: float, wait_s: float) -> None:
        """There was no answer: ask again after ``wait_s``."""
        key = _key(question)
        self._asking.discard(key)
        buckets = self._open.get(key, {})
        for open_time in question.wants & buckets.keys():
            buckets[open_time].due_s = now_s + wait_s

    def _question(self, key: Key, clock: int, now_s: float) -> Question | None:
        if key in self._asking:
            return None
        due = [open_time for open_time, dispute in self._open[key].items() if dispute.due_s <= now_s]
        if not due:
            return None
        symbol, interval = key
        stop = interval.next_open(max(due))
        wants = frozenset(open_time for open_time in due if open_time >= interval.step_back(stop, PAGE_ROWS))
        return Question(Aim.DISPUTE, symbol, interval, min(wants), stop, clock, wants)


def _key(question: Question) -> Key:
    return question.symbol, question.interval
