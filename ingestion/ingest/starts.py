"""What a symbol needs before its first trade: a ``want`` in the log, at its first start and for its history.

A start is asked of the exchange by REST while the symbol's frames wait at their gates, so that what the stream has
skipped before we listened is missing by id, like any other gap. History never holds up live trades.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog

from ingestion.ingest.covered import Covered
from ingestion.ingest.exchange import Exchange
from ingestion.ingest.intake import HELD_FRAMES, Gate, GateState, StreamSession
from ingestion.ingest.newest import NewestRow
from ingestion.ingest.writer import LogWriter
from ingestion.pipeline.records import Cause, Joined, Kline, Trade, Unwatch, Want
from markets.types import Interval

log = structlog.get_logger(__name__)

FIRST_FRAME_S = 5.0

Spawn = Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]


@dataclass(eq=False, slots=True)
class _Symbol:
    name: str
    backfill_from: int | None
    covered_from: int | None = None
    clock: int = 0
    started: asyncio.Event = field(default_factory=asyncio.Event)
    gates: dict[Gate, bool] = field(default_factory=dict)  # in their order: is its connection open?
    tasks: set["asyncio.Task[None]"] = field(default_factory=set)
    is_starting: bool = False
    is_joined: bool = False
    is_fetching_history: bool = False

    def join(self, moment: int) -> Joined:
        """What is logged when a connection takes over. Before the first one our own process was not there."""
        cause = Cause.DISCONNECT if self.is_joined else Cause.OURS
        self.is_joined = True
        return Joined(self.name, cause, moment)

    def stream_time(self) -> int:
        """The newest time heard on the present connections; 0 when nothing was."""
        return max((gate.clock for gate in self.gates), default=0)

    def leave(self, gate: Gate) -> bool:
        """True when the frames of a gate whose connection has ended are to wait on, as long as they are few."""
        waiting = sum(len(other.held) for other, is_open in self.gates.items() if not is_open)
        if not gate.is_waiting or waiting >= HELD_FRAMES:
            return False
        self.gates[gate] = False
        return True

    def first_held(self) -> Trade | Kline | None:
        return next((gate.held[0] for gate in self.gates if gate.held), None)


class Starts:
    """Opens the gates of the watched symbols (an ``intake.Starter``).

    ``covered``: what earlier runs have started. ``history_ms``: how far back every symbol is wanted (0: not at all).
    ``spawn`` runs a coroutine as a task whose failure is not overlooked.
    """

    def __init__(
        self,
        exchange: Exchange,
        newest: NewestRow,
        writer: LogWriter,
        spawn: Spawn,
        *,
        covered: Mapping[str, Covered],
        history_ms: int = 0,
        first_frame_s: float = FIRST_FRAME_S,
    ) -> None:
        self._exchange, self._newest, self._writer, self._spawn = exchange, newest, writer, spawn
        self._covered = dict(covered)
        self._history_ms, self._first_frame_s = history_ms, first_frame_s
        self._symbols: dict[str, _Symbol] = {}
        self._anchors: dict[Gate, asyncio.Task[None]] = {}
        self.sessions: set[StreamSession] = set()

    def watch(self, wanted: Mapping[str, int | None]) -> None:
        """These symbols from now on, each with the time from which its history is wanted (epoch ms, or None).

        The segments of the others end here, those that an earlier run left open included.
        """
        for name in self._symbols.keys() - wanted.keys():
            self._end(self._symbols.pop(name))
        for name in self._covered.keys() - wanted.keys():
            self._writer.put(Unwatch(name, self._covered.pop(name).feed_time))
        for name, backfill_from in wanted.items():
            if name not in self._symbols:
                self._add(name, backfill_from)
            elif self._symbols[name].backfill_from != backfill_from:
                self._symbols[name].backfill_from = backfill_from
                self._fetch_history(self._symbols[name])

    def gate_for(self, symbol: str) -> Gate:
        entry = self._symbols.get(symbol)
        if entry is None:
            # Switched off in this very moment: the connection will be told to give it up.
            return Gate(symbol, self._writer, GateState.RETIRED)
        state = GateState.TRADES if entry.started.is_set() else GateState.SHUT
        gate = Gate(symbol, self._writer, state, join=entry.join)
        entry.gates[gate] = True
        return gate

    def begin(self, session: StreamSession, gate: Gate) -> None:
        entry = self._symbols.get(gate.symbol)
        if entry is None or gate.state is GateState.RETIRED:
            return
        if not entry.started.is_set() and not entry.is_starting:
            entry.is_starting = True
            self._run(entry, self._start(entry, session, gate))
        if gate not in self._anchors:
            self._anchors[gate] = self._spawn(self._newest.anchor(session, gate, entry.started))
        self._fetch_history(entry)

    def forget(self, gates: Iterable[Gate]) -> None:
        for gate in gates:
            self._cancel_anchor(gate)
            entry = self._symbols.get(gate.symbol)
            if entry is not None:
                entry.clock = max(entry.clock, gate.clock)
                entry.gates.pop(gate, None)

    def closed(self, session: StreamSession) -> None:
        self.sessions.discard(session)
        for gate in session.gates.values():
            entry = self._symbols.get(gate.symbol)
            if entry is not None and gate in entry.gates and entry.leave(gate):
                # A server may send all it has and hang up before REST has answered.
                self._cancel_anchor(gate)
            else:
                gate.retire()
                self.forget([gate])

    def _cancel_anchor(self, gate: Gate) -> None:
        task = self._anchors.pop(gate, None)
        if task is not None:
            task.cancel()

    @property
    def held(self) -> int:
        """Frames that wait at gates."""
        return sum(len(gate.held) for entry in self._symbols.values() for gate in entry.gates)

    @property
    def waiting(self) -> list[str]:
        """Symbols whose start is not in the log yet."""
        return sorted(name for name, entry in self._symbols.items() if not entry.started.is_set())

    def _add(self, name: str, backfill_from: int | None) -> None:
        entry = self._symbols[name] = _Symbol(name, backfill_from)
        before = self._covered.pop(name, None)
        if before is not None:
            entry.covered_from, entry.clock = before.covered_from, before.feed_time
            entry.started.set()
        for session in list(self.sessions):
            self._take_back(session, name)

    @staticmethod
    def _take_back(session: StreamSession, name: str) -> None:
        """Switched off and on again before the connection noticed: it still carries the symbol."""
        if name in session.gates and name in session.connection.asked:
            session.subscribing([name])
            if name in session.connection.acked:
                session.acknowledged([name])

    def _end(self, entry: _Symbol) -> None:
        for task in entry.tasks:
            task.cancel()
        feed_time = max(entry.stream_time(), entry.clock)
        gates = list(entry.gates)
        for gate in gates:
            gate.retire()
        self.forget(gates)
        if entry.started.is_set():
            self._writer.put(Unwatch(entry.name, feed_time))
        log.info("A symbol is no longer watched", symbol=entry.name)

    async def _start(self, entry: _Symbol, session: StreamSession, gate: Gate) -> None:
        moment = await self._first_moment(entry, session, gate)
        minute = Interval.M1.open_of(moment)
        first_id = await self._exchange.first_wanted_id(entry.name, minute)
        self._writer.put(Want(entry.name, first_id, minute, Cause.START, moment))
        entry.covered_from = minute
        entry.started.set()
        for waiting, is_open in list(entry.gates.items()):
            waiting.let_trades_through()
            if not is_open:
                waiting.retire()
                self.forget([waiting])
        log.info("A symbol has started", symbol=entry.name, from_id=first_id, covered_from=minute)

    async def _first_moment(self, entry: _Symbol, session: StreamSession, gate: Gate) -> int:
        """The feed's time when the symbol's stream began: of its first frame, else of what the connection brings
        (a replay at reading speed is hours behind its server's clock), else of the exchange."""
        if entry.first_held() is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._first_frame_s):
                    await gate.first.wait()
        first = entry.first_held()
        if first is None:
            return session.clock() or await self._exchange.insist_on_time()
        if type(first) is Trade and first.event_time is None:
            return first.trade_time
        return first.event_time

    def _fetch_history(self, entry: _Symbol) -> None:
        if (self._history_ms or entry.backfill_from is not None) and not entry.is_fetching_history:
            entry.is_fetching_history = True
            self._run(entry, self._history(entry))

    async def _history(self, entry: _Symbol) -> None:
        """Want what came before the segment, unless an earlier run has asked for as much."""
        await entry.started.wait()
        # What an earlier run knew is no "now": the history would begin too early and grow with each restart.
        now = entry.stream_time() or await self._exchange.insist_on_time()
        while entry.covered_from is None or self._wanted_since(entry, now) < entry.covered_from:
            since = self._wanted_since(entry, now)
            first_id = await self._exchange.first_wanted_id(entry.name, since)
            if first_id is None:
                break
            self._writer.put(Want(entry.name, first_id, since, Cause.BACKFILL, now))
            entry.covered_from = since
            log.info("History is wanted", symbol=entry.name, from_id=first_id, covered_from=since)
        entry.is_fetching_history = False

    def _wanted_since(self, entry: _Symbol, now: int) -> int:
        since = [now - self._history_ms] if self._history_ms else []
        if entry.backfill_from is not None:
            since.append(entry.backfill_from)
        return Interval.M1.open_of(min(since))

    def _run(self, entry: _Symbol, coroutine: Coroutine[Any, Any, None]) -> None:
        task = self._spawn(coroutine)
        entry.tasks.add(task)
        task.add_done_callback(entry.tasks.discard)
