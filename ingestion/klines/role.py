"""The loop of ``ingest_klines``: read the streams and the log, ask REST for what is missing, write, keep progress."""

import random
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import msgspec
import structlog
from django.db import Error as DatabaseError

from ingestion.binance.backoff import Backoff
from ingestion.binance.errors import BadAnswer, BadRequest, ExchangeBusy, ExchangeError, RegionRefused, WeightSpent
from ingestion.klines import metrics
from ingestion.klines.board import Board
from ingestion.klines.follow import LogFollower
from ingestion.klines.surroundings import THREADS, Rest, Surroundings, learn_limits, page_of
from ingestion.klines.track import Aim, Policy, Question
from ingestion.log import codec
from ingestion.log.port import LogClosed, LogError
from ingestion.log.topics import DEAD_LETTERS, PRICES
from ingestion.pipeline.records import DeadLetter, Kline
from ingestion.roles.role import Pulse, Role
from markets.types import MINUTE_MS, Interval

logger = structlog.get_logger(__name__)

# History never takes the last threads: what is new would wait for it.
_HISTORY_THREADS: Final = 2
# Klines that the log did not take yet; with more of them nothing further is asked for.
_MOST_HELD: Final = 20_000
_TURN_S: Final = 0.5
_WATCH_EVERY_S: Final = 5.0
# Seconds are many and nobody waits for them: they are written together, everything else at once.
_SECONDS_EVERY_S: Final = 10.0
_SAVE_EVERY_S: Final = 5.0
# A symbol without frames for so long: what time it is, only the exchange can tell.
_STALE_S: Final = 15.0
_FIRST_FRAME_S: Final = 5.0
_REGION_S: Final = 60.0
# The question for the weight limit is dear itself: where it fails, the limit known so far will do for a while.
_LIMITS_EVERY_S: Final = 60.0


@dataclass
class _Lane:
    """One of the two REST clients, and until when nothing may be asked of it."""

    rest: Rest
    until_s: float = 0.0


class IngestKlines(Role):
    """Closed klines of the watched symbols to ``prices-<interval>``. May die at any line.

    A restart knows the progress that was saved, which is never ahead of what the log holds: at worst the same klines
    are asked for and written once more, which changes nothing.
    """

    name = "ingest_klines"

    def __init__(self, around: Surroundings, policy: Policy) -> None:
        self._around, self._policy = around, policy
        self._board: Board | None = None
        self._follower: LogFollower | None = None
        self._watched: dict[str, bool] = {}
        self._covered: dict[str, int] = {}
        self._clocks: dict[str, int] = {}
        self._moved_s: dict[str, float] = {}
        self._lanes = {False: _Lane(around.rest), True: _Lane(around.history)}
        self._questions: dict[Future[list[Kline]], Question] = {}
        self._time: Future[int] | None = None
        self._limits: Future[None] | None = None
        self._pending: list[Kline] = []
        self._letters: list[DeadLetter] = []
        self._saved: dict[tuple[str, str], tuple[int, int]] = {}
        self._away = Backoff(first_s=1.0, cap_s=60.0)
        self._write_backoff = Backoff(first_s=0.5, cap_s=10.0)
        self._failures = self._write_failures = self._written = 0
        self._watch_at = self._write_at = self._seconds_at = self._save_at = self._time_at = self._limits_at = 0.0
        self._last_message_ms: int | None = None
        self._snapshot = Pulse(0, None, None, "ok", "starting")

    def step(self) -> None:
        """One turn: half a second of frames, then everything that they, the log and REST have brought."""
        board = self._board or self._begin()
        self._follow_database(board)
        self._around.streams.turn(_TURN_S)
        self._take_frames(board)
        self._take_log(board)
        self._take_answers(board)
        self._begin_tracks(board)
        self._write(board)
        self._ask(board)
        self._look(board)

    def drain(self) -> None:
        """Write what is held; what cannot be written now is asked for again after the next start."""
        self._around.streams.close()
        self._around.pool.shutdown(wait=False, cancel_futures=True)
        if self._board is not None:
            self._take_frames(self._board)
            self._write_at = self._seconds_at = self._save_at = 0.0
            try:
                self._write(self._board)
            except LogClosed:
                logger.info("klines_left", klines=len(self._pending), then="they are asked for at the next start")
        if self._follower is not None:
            self._follower.close()

    def pulse(self) -> Pulse:
        """``processed``: klines written; ``lag``: buckets whose kline is overdue."""
        return self._snapshot

    # --- what comes in ----------------------------------------------------------------------------

    def _begin(self) -> Board:
        self._board = Board(self._policy, self._around.load())
        self._follower = LogFollower(self._around.log, self._board.disputes.knows)
        return self._board

    def _follow_database(self, board: Board) -> None:
        """What is to be watched now, and which larger candles differ."""
        now_s = self._around.clock()
        if now_s < self._watch_at:
            return
        self._watch_at = now_s + _WATCH_EVERY_S
        try:
            watched = dict(self._around.watched())
            board.disputes.take_larger(self._around.disputed(watched), now_s)
        except DatabaseError as error:
            logger.error("watch_list_failed", error=str(error), then="the last one stays", hint="check DATABASE_URL")
            return
        if watched == self._watched:
            return
        if self._watched:
            # What was reached is needed again when a symbol comes back.
            self._write(board, everything=True)
        for symbol in watched.keys() - self._moved_s.keys():
            # Its first frame is on its way: a replay's clock is better known by it than by its server.
            self._moved_s[symbol] = now_s - _STALE_S + _FIRST_FRAME_S
        self._watched = watched
        board.keep_only(watched)
        board.saved = {**board.saved, **self._saved}
        self._around.streams.watch(sorted(watched), sorted(name for name, trades in watched.items() if not trades))

    def _take_frames(self, board: Board) -> None:
        klines, letters = self._around.streams.take()
        self._letters += letters
        for kline in klines:
            self._keep(board, kline)
        now_s = self._around.clock()
        for symbol, clock in self._around.streams.clocks().items():
            if clock > self._clocks.get(symbol, 0):
                self._clocks[symbol], self._moved_s[symbol] = clock, now_s
                self._last_message_ms = int(now_s * 1000)

    def _keep(self, board: Board, kline: Kline) -> None:
        """Take a closed kline to be written. A minute of held trades is to be judged again by it."""
        since = self._covered.get(kline.symbol)
        recheck = since is not None and kline.open_time >= since - MINUTE_MS
        self._pending.append(msgspec.structs.replace(kline, recheck=recheck) if recheck else kline)
        board.receive(kline)

    def _take_log(self, board: Board) -> None:
        assert self._follower is not None
        try:
            news = self._follower.poll()
        except LogClosed:
            raise
        except LogError as error:
            logger.warning("log_not_followed", error=str(error), then="it is followed from anew")
            self._follower.close()
            return
        for kline in news.minutes:
            board.receive(kline)
        for symbol, open_time, state in news.verdicts:
            board.disputes.take(symbol, open_time, state, self._around.clock())
        for symbol, since in news.covered.items():
            self._covered[symbol] = min(since, self._covered.get(symbol, since))
            board.reach_back(symbol, self._covered[symbol])

    def _begin_tracks(self, board: Board) -> None:
        """Track each symbol from the moment on that its time is known."""
        for symbol in self._watched:
            clock = self._clocks.get(symbol)
            if clock is not None and (symbol, Interval.S1) not in board.tracks:
                board.begin(symbol, clock)
                if symbol in self._covered:
                    board.reach_back(symbol, self._covered[symbol])

    # --- questions --------------------------------------------------------------------------------

    def _take_answers(self, board: Board) -> None:
        for future in [future for future in self._questions if future.done()]:
            question = self._questions.pop(future)
            try:
                rows = sorted(future.result(), key=lambda row: row.open_time)
            except ExchangeError as error:
                self._take_error(board, question, error)
                continue
            self._failures = 0
            metrics.QUESTIONS.labels(question.aim.name.lower(), "rows" if rows else "nothing").inc()
            for row in board.answer(question, rows, self._around.clock()):
                self._keep(board, row)
        self._take_time()
        if self._limits is not None and self._limits.done() and (error := self._limits.exception()) is not None:
            self._limits = None
            logger.warning("limits_unknown", error=str(error), then="the limit known so far counts, it is asked again")

    def _take_time(self) -> None:
        if self._time is None or not self._time.done():
            return
        answered, self._time = self._time, None
        try:
            server_time = answered.result()
        except ExchangeError as error:
            self._put_off(self._lanes[False], error)
            return
        for symbol in self._stale():
            self._clocks[symbol] = max(server_time, self._clocks.get(symbol, 0))

    def _stale(self) -> list[str]:
        """Symbols whose frames do not tell the time: none came for a while."""
        now_s = self._around.clock()
        return [symbol for symbol in self._watched if now_s - self._moved_s.get(symbol, 0.0) >= _STALE_S]

    def _take_error(self, board: Board, question: Question, error: ExchangeError) -> None:
        lane, now_s = self._lanes[question.aim is Aim.HISTORY], self._around.clock()
        if isinstance(error, BadRequest | BadAnswer):
            board.fail(question, now_s, refused=isinstance(error, BadRequest))
            outcome = "bad"
            hint = "it is asked again; is the symbol still listed?"
            logger.warning("klines_refused", symbol=question.symbol, error=str(error), hint=hint)
        else:
            board.release(question)
            outcome = self._put_off(lane, error)
        metrics.QUESTIONS.labels(question.aim.name.lower(), outcome).inc()

    def _put_off(self, lane: _Lane, error: ExchangeError) -> str:
        """Nobody asks for a while (on this lane, when only its part of the weight is spent); the metric's outcome."""
        now_s = self._around.clock()
        lanes = [lane] if isinstance(error, WeightSpent) else list(self._lanes.values())
        if isinstance(error, ExchangeBusy):
            wait_s, outcome, hint = error.retry_after_s, "busy", "the exchange's rate limit; it goes on by itself"
        elif isinstance(error, RegionRefused):
            wait_s, outcome, hint = _REGION_S, "refused", "set BINANCE_REST_URL to an address that serves your region"
        else:
            self._failures += 1
            wait_s = self._away.delay_s(self._failures, self._policy.rng)
            outcome, hint = "away", "klines wait until BINANCE_REST_URL answers"
        if now_s + wait_s > lane.until_s:
            for each in lanes:
                each.until_s = max(each.until_s, now_s + wait_s)
            logger.warning("klines_wait", error=str(error), wait_s=round(wait_s, 1), hint=hint)
        return outcome

    def _ask(self, board: Board) -> None:
        now_s = self._around.clock()
        self._ask_limits()
        if self._time is None and now_s >= max(self._time_at, self._lanes[False].until_s) and self._stale():
            self._time_at = now_s + _STALE_S
            self._time = self._around.pool.submit(self._around.rest.server_time)
        if self._is_full():
            return
        room: dict[tuple[str, int], bool] = {}
        for question in board.questions(self._clocks, now_s):
            if len(self._questions) >= THREADS:
                return
            if self._may_ask(question, now_s, room):
                lane = self._lanes[question.aim is Aim.HISTORY]
                asked = board.asking(question)
                self._questions[self._around.pool.submit(page_of, lane.rest, asked)] = asked

    def _ask_limits(self) -> None:
        """Learn the exchange's present weight limit, once."""
        now_s = self._around.clock()
        if self._limits is None and self._watched and now_s >= max(self._limits_at, self._lanes[False].until_s):
            self._limits_at = now_s + _LIMITS_EVERY_S
            # Any that is listed will do, and one that is not any more must not be in the way for ever.
            symbol = self._policy.rng.choice(sorted(self._watched))
            self._limits = self._around.pool.submit(learn_limits, self._around, symbol)

    def _may_ask(self, question: Question, now_s: float, room: dict[tuple[str, int], bool]) -> bool:
        """``room``: what this turn has learnt of the sink's."""
        if question.aim is not Aim.HISTORY:
            return now_s >= self._lanes[False].until_s
        under_way = sum(other.aim is Aim.HISTORY for other in self._questions.values())
        if now_s < self._lanes[True].until_s or under_way >= _HISTORY_THREADS:
            return False
        topic = PRICES[question.interval.value].name
        place = topic, self._around.log.partition_of(topic, question.symbol)
        if place not in room:
            room[place] = self._around.has_room(topic, question.symbol)
        return room[place]

    def _is_full(self) -> bool:
        """The log takes nothing: do not hold more and more."""
        return len(self._pending) > _MOST_HELD

    # --- what goes out ----------------------------------------------------------------------------

    def _write(self, board: Board, *, everything: bool = False) -> None:
        """Append what is held, then keep the progress: never the other way round."""
        now_s = self._around.clock()
        if now_s < self._write_at:
            return
        urgent = everything or any(kline.interval != Interval.S1 for kline in self._pending) or self._letters
        if not urgent and now_s < self._seconds_at:
            return
        self._seconds_at = now_s + _SECONDS_EVERY_S
        try:
            self._append()
        except LogClosed:
            raise
        except LogError as error:
            self._write_failures += 1
            self._write_at = now_s + self._write_backoff.delay_s(self._write_failures, self._policy.rng)
            metrics.WRITE_FAILURES.inc()
            logger.error(
                "klines_not_written", error=str(error), held=len(self._pending), hint="is the log's disk full?"
            )
            return
        self._write_failures = 0
        if everything or now_s >= self._save_at:
            self._save_at = now_s + _SAVE_EVERY_S
            self._save(board)

    def _append(self) -> None:
        by_interval: dict[str, list[Kline]] = {}
        for kline in self._pending:
            by_interval.setdefault(kline.interval, []).append(kline)
        for interval, klines in by_interval.items():
            self._around.log.append(PRICES[interval].name, [codec.to_record(kline) for kline in klines])
            # Taken out topic by topic: what the next one refuses is not written twice.
            self._pending = [kline for kline in self._pending if kline.interval != interval]
            self._written += len(klines)
            for kline in klines:
                metrics.WRITTEN.labels(interval, kline.source).inc()
        if self._letters:
            self._around.log.append(DEAD_LETTERS.name, [codec.to_record(letter) for letter in self._letters])
            self._letters = []

    def _save(self, board: Board) -> None:
        places = {
            (symbol, interval.value): (track.first_open, track.next_open)
            for (symbol, interval), track in board.tracks.items()
        }
        changed = {key: place for key, place in places.items() if self._saved.get(key) != place}
        if not changed:
            return
        try:
            self._around.save(changed)
        except DatabaseError as error:
            metrics.SAVE_FAILURES.inc()
            logger.warning("progress_not_saved", error=str(error), then="tried again", hint="check DATABASE_URL")
            return
        self._saved.update(changed)

    def _look(self, board: Board) -> None:
        """Refresh gauges and the pulse."""
        overdue, left = board.overdue(self._clocks), board.history_left()
        metrics.OVERDUE.set(overdue)
        metrics.HISTORY_LEFT.set(left)
        metrics.DISPUTED.set(len(board.disputes))
        states = self._around.streams.states()
        opened = sum(bool(state.acknowledged) for state in states)
        detail = (
            f"{len(self._watched)} symbols, {opened}/{len(states)} connections, {overdue} klines overdue, "
            f"{left} histories left, {len(board.disputes)} disputes to ask for again"
        )
        refused = self._around.streams.refused_by_region()
        if refused:
            detail = f"the exchange refuses this region ({refused}): set BINANCE_WS_URL; {detail}"
        is_ok = opened == len(states) and not self._failures and not self._write_failures and not refused
        status = "ok" if is_ok else "degraded"
        self._snapshot = Pulse(self._written, overdue, self._last_message_ms, status, detail)


def build_role() -> IngestKlines:
    """The role as the settings describe it."""
    from django.conf import settings

    from ingestion.binance.rest import BinanceRest
    from ingestion.klines.larger import load_disputed
    from ingestion.klines.progress import load_progress, save_progress
    from ingestion.klines.streams import KlineStreams
    from ingestion.log import open_log
    from markets.selectors import watched_for_klines

    # Only spreads waits: nothing that is stored depends on it.
    rng = random.Random()  # noqa: S311
    rest = BinanceRest(settings.BINANCE_REST_URL, weight_share=0.8)
    history = BinanceRest(settings.BINANCE_REST_URL, weight_share=0.5)
    pool = ThreadPoolExecutor(THREADS + 2, "klines-rest")
    streams = KlineStreams(settings.BINANCE_WS_URL, rest, pool, settings.STREAMLOOM_SOURCE, rng=rng)
    around = Surroundings(
        open_log(), rest, history, streams, watched_for_klines, load_progress, save_progress, load_disputed, pool
    )
    return IngestKlines(around, Policy(rows=dict(settings.KLINES_HISTORY), rng=rng))
