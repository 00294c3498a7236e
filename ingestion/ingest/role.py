"""The role ``ingest_trades``: the event loop of ``IngestLoop`` turned by the role's own thread."""

import asyncio
import random
from collections.abc import Mapping

import structlog
from django.conf import settings
from django.db import close_old_connections

from ingestion.binance.rest import BinanceRest
from ingestion.ingest.loop import IngestConfig, IngestLoop, Snapshot, Watched
from ingestion.log import open_log
from ingestion.roles.role import Pulse, Role
from markets import selectors

log = structlog.get_logger(__name__)

TURN_S = 0.5
# A dead server must not hold up a stop: a question in flight is waited for.
_ANSWER_S = 5.0


class IngestRole(Role):
    """Frames of the watched symbols to ``raw_trades``; what is no trade to ``dead_letters``.

    ``step`` turns the event loop for up to half a second; between the turns sockets are buffered by the system.
    """

    name = "ingest_trades"

    def __init__(self, ingest: IngestLoop) -> None:
        self._ingest = ingest
        self._loop: asyncio.AbstractEventLoop | None = None
        self._main: asyncio.Task[None] | None = None

    def step(self) -> None:
        """One turn. Raises what made the loop end by itself."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._main = self._loop.create_task(self._ingest.run(), name=self.name)
        assert self._main is not None
        done, _ = self._loop.run_until_complete(asyncio.wait([self._main], timeout=TURN_S))
        if done:
            self._main.result()

    def drain(self) -> None:
        """Close the connections and write what is held."""
        if self._loop is None or self._main is None:
            return
        self._main.cancel()
        self._loop.run_until_complete(asyncio.wait([self._main]))
        if not self._main.cancelled() and self._main.exception() is not None:
            log.error("Ingest did not end well", error=str(self._main.exception()))
        self._loop.close()
        self._loop = self._main = None

    def pulse(self) -> Pulse:
        snapshot = self._ingest.snapshot
        return Pulse(
            processed=snapshot.written,
            lag=snapshot.buffered,
            last_message_ms=snapshot.last_frame_ms,
            status=_status(snapshot),
            detail=_detail(snapshot),
        )


def build_role(history_ms: int = 0) -> IngestRole:
    """The role as the settings describe it. ``history_ms``: how far back every symbol is wanted."""
    config = IngestConfig(settings.BINANCE_WS_URL, settings.STREAMLOOM_SOURCE, history_ms)
    rest = BinanceRest(settings.BINANCE_REST_URL, timeout_s=_ANSWER_S)
    # Only spreads waits: nothing that is stored depends on it.
    rng = random.Random()  # noqa: S311
    return IngestRole(IngestLoop(config, open_log(), rest, _read_watch_list, rng))


def _read_watch_list() -> Mapping[str, Watched]:
    # The thread lives long: a connection that the database has dropped meanwhile must not be used again.
    close_old_connections()
    return selectors.watched()


def _status(snapshot: Snapshot) -> str:
    opened = [connection for connection in snapshot.connections if connection.acknowledged]
    if snapshot.connections and not opened:
        return "down"
    if len(opened) < len(snapshot.connections) or snapshot.waiting:
        return "degraded"
    return "degraded" if any(connection.silent for connection in opened) else "ok"


def _detail(snapshot: Snapshot) -> str:
    if snapshot.refused_by_region:
        return f"the exchange refuses this region ({snapshot.refused_by_region}): set BINANCE_WS_URL"
    if not snapshot.connections:
        return "no symbol is enabled"
    lines = [
        f"{c.name}: {c.state}, {c.acknowledged}/{c.symbols} symbols, {c.age_s:.0f} s"
        + (f", silent: {', '.join(c.silent[:5])}" if c.silent else "")
        for c in snapshot.connections
    ]
    if snapshot.waiting:
        lines.append(f"waiting to start: {', '.join(snapshot.waiting[:5])}")
    return "; ".join(lines)
