"""The feed: as many connections as the symbols need, each kept alive by its lane.

``watch`` says which symbols; the sessions made by ``make_session`` receive the frames. Frames of different
connections come in no order among each other; those of one connection in the exchange's own.
"""

import asyncio
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ingestion.binance import streams
from ingestion.binance.connection import Connection, Session
from ingestion.binance.lane import FeedLimits, Lane, Surroundings


@dataclass(frozen=True, slots=True)
class ConnectionState:
    """One line of the operator's page."""

    name: str
    symbols: int
    acknowledged: int
    silent: tuple[str, ...]
    age_s: float
    state: str


class Feed:
    """Frames of the watched symbols, from one event loop. ``run`` until cancelled."""

    def __init__(
        self,
        base_url: str,
        make_session: Callable[[Connection], Session],
        *,
        rng: random.Random,
        limits: FeedLimits | None = None,
        max_streams: int = streams.MAX_STREAMS,
        clock: Callable[[], float] = time.monotonic,
        names: streams.StreamNames = streams.stream_names,
        prefix: str = "",
    ) -> None:
        """``names``: the streams of a symbol, as many for each; ``prefix``: this feed's places in metrics."""
        url = base_url.rstrip("/") + "/ws"
        self._around = Surroundings(url, make_session, limits or FeedLimits(), rng, clock, names, prefix)
        self._max_streams, self._per_symbol = max_streams, len(names("x"))
        self._plan: dict[int, frozenset[str]] = {}
        self._lanes: dict[int, Lane] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None

    def watch(self, symbols: Iterable[str]) -> None:
        """These symbols from now on; the others are given up. Nobody else is disturbed."""
        self._plan = streams.plan(self._plan, symbols, self._max_streams, self._per_symbol)
        if self._group is not None:
            self._fit_lanes(self._group)

    async def run(self) -> None:
        """Keep the connections until cancelled; then close them."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                self._fit_lanes(group)
                await asyncio.Event().wait()
        finally:
            self._group = None
            await asyncio.gather(*(lane.close() for lane in self._lanes.values()))

    @property
    def refused_by_region(self) -> str | None:
        """What the exchange said when it refused this region, while it does."""
        return self._around.refused_by_region

    def states(self) -> list[ConnectionState]:
        """Each place in the plan and the connection that serves it."""
        return [self._state(lane) for lane in self._lanes.values()]

    def _fit_lanes(self, group: asyncio.TaskGroup) -> None:
        for number, symbols in self._plan.items():
            if number not in self._lanes:
                self._lanes[number] = Lane(number, self._around)
                self._lanes[number].carry(symbols)
                self._tasks[number] = group.create_task(self._lanes[number].run(), name=f"lane {number}")
            self._lanes[number].carry(symbols)
        for number in self._lanes.keys() - self._plan.keys():
            # Taken out at once: its number may be given to a new lane before this one is closed.
            lane, task = self._lanes.pop(number), self._tasks.pop(number)
            group.create_task(self._retire(lane, task), name=f"retire lane {number}")

    @staticmethod
    async def _retire(lane: Lane, task: asyncio.Task[None]) -> None:
        task.cancel()
        await asyncio.wait([task])
        lane.release()
        await lane.close()

    @staticmethod
    def _state(lane: Lane) -> ConnectionState:
        connection = lane.current
        if connection is None or connection.end is not None:
            state = f"connecting ({lane.failure})" if lane.failure else "connecting"
            return ConnectionState(lane.place, len(lane.wanted), 0, (), 0.0, state)
        state = "waiting for the log" if connection.is_held_up else "open"
        acked = len(connection.acked)
        return ConnectionState(connection.name, len(lane.wanted), acked, tuple(lane.silent), connection.age_s, state)
