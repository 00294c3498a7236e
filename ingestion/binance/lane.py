"""A lane: one place in the plan, always served by a connection; replaced before it ends where we have the choice.

Replacement is make-before-break: the new connection is open, acknowledged and delivering, and the old one has been
read up to where the new one began, before the old one closes. So a planned change loses no frame.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

import structlog

from ingestion.binance import metrics
from ingestion.binance.backoff import Backoff, Budget, attempt_budget
from ingestion.binance.connection import ConnectFailed, Connection, Session
from ingestion.binance.streams import StreamNames, stream_names
from ingestion.binance.watchdog import FROZEN_AFTER_S, SILENT_AFTER_S, Watchdog, frozen_after_s

log = structlog.get_logger(__name__)


class Cause(StrEnum):
    """What made a connection necessary. The value is a metric label: never rename one."""

    START = "start"
    ENDED = "ended"
    AGE = "age"
    SHUTDOWN = "server_shutdown"
    FROZEN = "frozen"
    SILENT_SYMBOL = "silent_symbol"
    UNANSWERED = "unanswered"


@dataclass(frozen=True, slots=True)
class FeedLimits:
    """Times in machine seconds. The exchange ends a connection after 24 h, so ours are replaced at 23 h."""

    tick_s: float = 1.0
    max_age_s: float = 23 * 3600.0
    frozen_after_s: float = FROZEN_AFTER_S
    silent_after_s: float = SILENT_AFTER_S
    unanswered_after_s: float = 10.0
    # How long a new connection may take to deliver every symbol that the old one delivers.
    proof_s: float = 10.0
    # How long an old connection is read on to catch up with the new one, and without progress.
    catch_up_s: float = 120.0
    catch_up_stall_s: float = 5.0


@dataclass(slots=True)
class Surroundings:
    """What all lanes of a feed share."""

    url: str
    make_session: Callable[[Connection], Session]
    limits: FeedLimits
    rng: random.Random
    clock: Callable[[], float] = time.monotonic
    names: StreamNames = stream_names
    # What a feed's places are called in metrics, where another feed of the process has places too.
    prefix: str = ""
    backoff: Backoff = field(default_factory=Backoff)
    attempts: Budget = field(default_factory=attempt_budget)
    refused_by_region: str | None = None


class Lane:
    """Keeps one connection for a set of symbols. ``run`` until cancelled, then ``close``."""

    def __init__(self, number: int, around: Surroundings) -> None:
        self.number = number
        self.place = f"{around.prefix}{number}"
        self.current: Connection | None = None
        self.wanted: frozenset[str] = frozenset()
        self.failure: str | None = None
        self._around = around
        self._fresh: Connection | None = None
        self._watchdog = Watchdog(around.limits.silent_after_s)
        self._nudge = asyncio.Event()
        self._failures = 0
        self._fruitless = 0
        self._newest = 0  # the newest feed time that any of its connections has brought
        self._opened = 0
        self._moved_at = 0.0
        self._age_limit_s = 0.0

    def carry(self, symbols: frozenset[str]) -> None:
        """These symbols from now on; takes effect within a tick."""
        self.wanted = symbols
        self._nudge.set()

    @property
    def silent(self) -> list[str]:
        return self._watchdog.silent(self._around.clock())

    async def run(self) -> None:
        """Serve until cancelled."""
        cause = Cause.START
        while True:
            fresh = await self._open(cause)
            if fresh is None:
                continue
            old = self.current
            if old is not None and old.end is None:
                if not await self._is_proven(fresh, old):
                    await self._discard(fresh)
                    continue
                await self._catch_up(old, fresh)
            self._install(fresh)
            if old is not None:
                await old.close()
            cause = await self._serve(fresh)

    def release(self) -> None:
        """Give up every symbol, so that the sessions know it was meant."""
        self.wanted = frozenset()
        for connection in (self._fresh, self.current):
            if connection is not None and connection.end is None:
                connection.carry(())

    async def close(self) -> None:
        """Close what is open."""
        for gauge in (metrics.CONNECTION_AGE, metrics.CONNECTION_SYMBOLS, metrics.SILENT_SYMBOLS):
            gauge.labels(self.place).set(0)
        for connection in (self._fresh, self.current):
            if connection is not None:
                await connection.close()

    async def _open(self, cause: Cause) -> Connection | None:
        """One attempt, in its turn; None when it failed."""
        await self._wait_turn()
        self._opened += 1
        name = f"{self.place}.{self._opened}"
        around = self._around
        fresh = Connection(
            name, around.url, around.make_session, self._nudge.set, clock=around.clock, names=around.names
        )
        self._around.attempts.spend(self._around.clock())
        try:
            await fresh.open()
        except ConnectFailed as error:
            self._note_failure(error)
            return None
        self._fresh = fresh
        self.failure = self._around.refused_by_region = None
        fresh.carry(self.wanted)
        metrics.CONNECTIONS_OPENED.labels(cause).inc()
        log.info("Connected to the exchange", connection=name, cause=cause, symbols=len(self.wanted))
        return fresh

    def _note_failure(self, error: ConnectFailed) -> None:
        self._failures += 1
        self.failure = str(error)
        metrics.CONNECT_FAILURES.inc()
        hint = "check BINANCE_WS_URL and the network"
        if error.by_region:
            self._around.refused_by_region = str(error)
            hint = "the exchange refuses this region: set BINANCE_WS_URL to a host that serves it"
        log.warning("Cannot connect to the exchange", reason=str(error), failures=self._failures, hint=hint)

    async def _wait_turn(self) -> None:
        """Back-off and the shared budget of attempts; the current connection is tended meanwhile."""
        clock = self._around.clock
        until = clock() + self._around.backoff.delay_s(self._failures, self._around.rng)
        while (wait_s := max(until - clock(), self._around.attempts.wait_s(clock()))) > 0:
            await self._pause(wait_s)
            self._tend()

    async def _pause(self, longest_s: float) -> None:
        """Wait a tick, or until something happens."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(longest_s, self._around.limits.tick_s)):
                await self._nudge.wait()
        self._nudge.clear()

    def _install(self, fresh: Connection) -> None:
        self.current, self._fresh = fresh, None
        # Silence on a connection that had ended is not the symbols' fault.
        self._watchdog.excuse(self._around.clock())
        spread = self._around.rng.uniform(0.97, 1.0)  # lanes that began together do not end together
        self._age_limit_s = self._around.limits.max_age_s * spread
        self._moved_at = self._around.clock()

    async def _discard(self, fresh: Connection) -> None:
        log.warning("A replacement connection did not deliver; the old one stays", connection=fresh.name)
        self._fresh = None
        self._failures += 1
        await fresh.close()
        fresh.raise_bug()

    async def _is_proven(self, fresh: Connection, old: Connection) -> bool:
        """True once the new connection is confirmed for every symbol and delivers what the old one delivers.

        A market may be so quiet that nothing comes: then the confirmations are enough, after a while.
        """
        clock, limits = self._around.clock, self._around.limits
        until = clock() + limits.proof_s
        heard: set[str] = set()
        while clock() < until and fresh.end is None and old.end is None:
            await self._pause(0.1)
            old.carry(self.wanted)
            fresh.carry(self.wanted)
            heard |= self._hear(fresh)
            self._hear(old)
            alive = self.wanted.difference(self._watchdog.silent(clock()))
            if fresh.is_acknowledged and heard >= alive:
                return True
            if fresh.is_held_up or old.is_held_up:
                until = clock() + limits.proof_s
        return fresh.end is None and (fresh.is_acknowledged or old.end is not None)

    async def _catch_up(self, old: Connection, fresh: Connection) -> None:
        """Read the old connection up to the new one's first frame: what its socket still holds is not lost."""
        clock, limits = self._around.clock, self._around.limits
        until = clock() + limits.catch_up_s
        frames, moved_at = old.frames, clock()
        while old.end is None and clock() < until and clock() - moved_at < limits.catch_up_stall_s:
            first, reached = fresh.session.first_time(), old.session.clock()
            if first is None or (reached is not None and reached >= first):
                return
            await self._pause(0.1)
            fresh.carry(self.wanted)
            self._hear(fresh)
            self._hear(old)
            if old.frames != frames or old.is_held_up:
                frames, moved_at = old.frames, clock()

    async def _serve(self, connection: Connection) -> Cause:
        """Look after the connection until it needs a successor; says why."""
        while True:
            connection.raise_bug()
            if connection.end is not None:
                self._failures += 1
                log.warning("A connection ended", connection=connection.name, end=connection.end)
                return Cause.ENDED
            self._tend()
            cause = self._reason_to_replace(connection)
            if cause is not None:
                log.info("A connection is replaced", connection=connection.name, cause=cause)
                return cause
            await self._pause(self._around.limits.tick_s)

    def _tend(self) -> None:
        """Subscriptions as wanted, silence noted, gauges set."""
        connection, now = self.current, self._around.clock()
        if connection is None or connection.end is not None:
            return
        connection.carry(self.wanted)
        self._hear(connection)
        if connection.is_held_up:
            self._moved_at = now
            self._watchdog.excuse(now)
        place = self.place
        metrics.CONNECTION_AGE.labels(place).set(connection.age_s)
        metrics.CONNECTION_SYMBOLS.labels(place).set(len(connection.acked))
        metrics.SILENT_SYMBOLS.labels(place).set(len(self.silent))

    def _hear(self, connection: Connection) -> set[str]:
        now, heard = self._around.clock(), connection.session.drain_heard()
        connection.confirm(heard & connection.asked)
        self._watchdog.keep_only(self.wanted)
        self._watchdog.expect(connection.acked & self.wanted, now)
        if heard:
            self._moved_at = now
            self._watchdog.hear(heard, now)
        reached = connection.session.clock()
        if reached is not None and reached > self._newest:
            # Only news counts: a server that replays the same past on every connection makes no progress.
            self._newest = reached
            self._failures = self._fruitless = 0
        return heard

    def _reason_to_replace(self, connection: Connection) -> Cause | None:
        now, limits = self._around.clock(), self._around.limits
        if connection.shutdown_announced:
            return Cause.SHUTDOWN
        if connection.age_s >= self._age_limit_s:
            return Cause.AGE
        if connection.is_held_up or not self.wanted:
            return None
        if connection.unanswered_s() >= limits.unanswered_after_s:
            return self._fruitless_cause(Cause.UNANSWERED)
        if now - self._moved_at >= frozen_after_s(self._fruitless, limits.frozen_after_s):
            return self._fruitless_cause(Cause.FROZEN)
        return self._remedy_silence(connection, now)

    def _fruitless_cause(self, cause: Cause) -> Cause:
        self._fruitless += 1
        return cause

    def _remedy_silence(self, connection: Connection, now: float) -> Cause | None:
        if now - self._moved_at > self._around.limits.silent_after_s / 2:
            return None  # Nothing moves at all: that is a frozen socket, not a silent symbol.
        verdict = self._watchdog.judge(now)
        if verdict.resubscribe:
            metrics.RESUBSCRIBED.inc(len(verdict.resubscribe))
            log.warning("Confirmed symbols are silent; subscribing them again", symbols=_some(verdict.resubscribe))
            connection.subscribe_again(verdict.resubscribe)
        if verdict.reconnect_for:
            log.warning("Symbols stay silent; reconnecting (halted or unknown?)", symbols=_some(verdict.reconnect_for))
            return Cause.SILENT_SYMBOL
        return None


def _some(symbols: tuple[str, ...]) -> str:
    """A log line's worth of symbols."""
    more = f" and {len(symbols) - 10} more" if len(symbols) > 10 else ""
    return ", ".join(symbols[:10]) + more
