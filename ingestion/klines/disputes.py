"""Minutes whose candle differs from the kline: a row that REST gave too early may be short, so it is asked again.

Pure: time is an argument.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from ingestion.klines.track import PAGE_ROWS, Aim, Question
from markets.types import MINUTE_MS, Interval

# Machine seconds before each time that a disputed minute is asked for.
WAITS_S: Final = (10.0, 60.0, 600.0, 3600.0)
# A long hole disputes many minutes; beyond this the oldest are left to the audit.
MOST: Final = 20_000
_DISPUTED: Final = "disputed"


@dataclass(slots=True)
class _Dispute:
    due_s: float
    asked: int = 0


@dataclass
class Disputes:
    """The disputed minutes of every symbol, by open time."""

    _open: dict[str, dict[int, _Dispute]] = field(default_factory=dict)
    _asking: set[str] = field(default_factory=set)

    def take(self, symbol: str, open_time: int, state: str, now_s: float) -> None:
        """A verdict or a new version of a minute was published."""
        minutes = self._open.setdefault(symbol, {})
        if state != _DISPUTED:
            minutes.pop(open_time, None)
        elif open_time not in minutes:
            minutes[open_time] = _Dispute(now_s + WAITS_S[0])
            while len(minutes) > MOST:
                del minutes[min(minutes)]

    def knows(self, symbol: str) -> bool:
        """True when a minute of the symbol is disputed."""
        return bool(self._open.get(symbol))

    def __len__(self) -> int:
        return sum(map(len, self._open.values()))

    def questions(self, symbols: Iterable[str], now_s: float) -> list[Question]:
        """One for each of the symbols that has minutes due: its newest ones that fit on a page."""
        return [question for symbol in symbols if (question := self._question(symbol, now_s)) is not None]

    def asking(self, question: Question) -> None:
        """The question is under way."""
        self._asking.add(question.symbol)

    def answered(self, question: Question, now_s: float) -> None:
        """The rows of the minutes in ``question.wants`` came: look again later, and at last no more."""
        self._asking.discard(question.symbol)
        minutes = self._open.get(question.symbol, {})
        for open_time in question.wants & minutes.keys():
            dispute = minutes[open_time]
            dispute.asked += 1
            if dispute.asked == len(WAITS_S):
                del minutes[open_time]
            else:
                dispute.due_s = now_s + WAITS_S[dispute.asked]

    def failed(self, question: Question, now_s: float, wait_s: float) -> None:
        """There was no answer: ask again after ``wait_s``."""
        self._asking.discard(question.symbol)
        minutes = self._open.get(question.symbol, {})
        for open_time in question.wants & minutes.keys():
            minutes[open_time].due_s = now_s + wait_s

    def _question(self, symbol: str, now_s: float) -> Question | None:
        if symbol in self._asking:
            return None
        due = [open_time for open_time, dispute in self._open.get(symbol, {}).items() if dispute.due_s <= now_s]
        if not due:
            return None
        stop = max(due) + MINUTE_MS
        wants = frozenset(open_time for open_time in due if open_time >= stop - PAGE_ROWS * MINUTE_MS)
        return Question(Aim.DISPUTE, symbol, Interval.M1, min(wants), stop, wants)
