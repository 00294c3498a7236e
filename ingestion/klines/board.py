"""All tracks and disputes together: which questions are due, and what an answer brings. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import msgspec

from ingestion.klines.disputes import Disputes
from ingestion.klines.track import Aim, Key, Policy, Question, Track, begin
from ingestion.pipeline.records import Kline
from markets.types import Interval

INTERVALS = (Interval.S1, Interval.M1, Interval.M15, Interval.H1, Interval.D1)

Progress = tuple[int, int]


@dataclass
class Board:
    """The tracks of the watched symbols. ``saved``: the progress of earlier runs, (first_open, next_open)."""

    policy: Policy
    saved: Mapping[tuple[str, str], Progress] = field(default_factory=dict)
    tracks: dict[Key, Track] = field(default_factory=dict)
    disputes: Disputes = field(default_factory=Disputes)
    _turn: int = 0
    _asked: dict[str, int] = field(default_factory=dict)

    def keep_only(self, symbols: Iterable[str]) -> None:
        """Forget the tracks of all other symbols; what was reached is saved already."""
        wanted = set(symbols)
        for key in [key for key in self.tracks if key[0] not in wanted]:
            del self.tracks[key]

    def begin(self, symbol: str, clock: int) -> None:
        """Track a symbol whose feed time is known now; nothing for one that is tracked."""
        for interval in INTERVALS:
            if (symbol, interval) not in self.tracks:
                self.tracks[symbol, interval] = self._track(symbol, interval, clock)

    def _track(self, symbol: str, interval: Interval, clock: int) -> Track:
        fresh = begin(symbol, interval, clock, self.policy)
        saved = self.saved.get((symbol, interval.value))
        if saved is not None:
            fresh.first_open, fresh.next_open = saved
        return fresh

    def reach_back(self, symbol: str, covered_from: int) -> None:
        """The symbol's trades are held from then on: so shall its klines be, seconds apart (they are too many)."""
        for interval in INTERVALS[1:]:
            track = self.tracks.get((symbol, interval))
            if track is not None:
                track.reach_back(covered_from)

    def receive(self, kline: Kline) -> None:
        """A closed kline came by a stream."""
        track = self.tracks.get((kline.symbol, Interval(kline.interval)))
        if track is not None:
            track.receive(kline.open_time)

    def questions(self, clocks: Mapping[str, int], now_s: float) -> list[Question]:
        """Every question that is due, the most urgent first: disputes, the newest buckets, then history in turns."""
        tracked = {symbol: clocks.get(symbol, 0) for symbol, _ in self.tracks}
        due = [
            (track.served, question)
            for track in self.tracks.values()
            if (question := track.question(tracked[track.symbol], now_s, self.policy)) is not None
        ]
        due.sort(key=lambda found: (found[1].aim, found[0], found[1].stop - found[1].start))
        return self.disputes.questions(tracked, now_s) + [question for _, question in due]

    def asking(self, question: Question) -> Question:
        """The question is under way, as it is returned: its track asks nothing else meanwhile."""
        self._turn += 1
        # A clock that stands still must not make two reports equally late: which one counts would be chance.
        asked_at = max(question.asked_at, self._asked.get(question.symbol, 0) + 1)
        self._asked[question.symbol] = asked_at
        if question.aim is Aim.DISPUTE:
            self.disputes.asking(question)
        else:
            track = self.tracks[question.symbol, question.interval]
            track.asking, track.served = True, self._turn
        return replace(question, asked_at=asked_at)

    def answer(self, question: Question, rows: Sequence[Kline], now_s: float) -> list[Kline]:
        """The rows that are to be written, ascending by open time."""
        rows = self._taken(question, rows, now_s)
        return [msgspec.structs.replace(row, event_time=question.asked_at) for row in rows]

    def _taken(self, question: Question, rows: Sequence[Kline], now_s: float) -> list[Kline]:
        if question.aim is Aim.DISPUTE:
            self.disputes.answered(question, now_s)
            return [row for row in rows if row.open_time in question.wants]
        track = self.tracks.get((question.symbol, question.interval))
        if track is None:  # Switched off meanwhile.
            return []
        track.asking = False
        if question.aim is Aim.HISTORY:
            return track.take_history(question, rows)
        return track.take_recent(question, rows, now_s, self.policy)

    def release(self, question: Question) -> None:
        """Nobody was asked after all (the exchange is busy): the question is due again at once."""
        if question.aim is Aim.DISPUTE:
            self.disputes.failed(question, 0.0, 0.0)
        elif (track := self.tracks.get((question.symbol, question.interval))) is not None:
            track.asking = False

    def fail(self, question: Question, now_s: float, *, refused: bool) -> None:
        """There was no answer; ``refused``: the exchange does not like the question."""
        wait = self.policy.refused if refused else self.policy.lag
        if question.aim is Aim.DISPUTE:
            self.disputes.failed(question, now_s, wait.delay_s(3, self.policy.rng))
        elif (track := self.tracks.get((question.symbol, question.interval))) is not None:
            track.asking = False
            track.postpone(now_s, wait, self.policy.rng)

    def overdue(self, clocks: Mapping[str, int]) -> int:
        """Buckets that have ended, whose kline should have come by now and has not."""
        total = 0
        for track in self.tracks.values():
            width = track.interval.width_ms or 1
            total += -(-track.lag_ms(clocks.get(track.symbol, 0), self.policy) // width)
        return total

    def history_left(self) -> int:
        """Tracks that do not reach as far back as they should."""
        return sum(track.first_open > track.floor for track in self.tracks.values())
