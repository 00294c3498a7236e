"""One socket to the exchange's streams: opens, subscribes at the allowed pace, reads, closes.

It knows nothing of trades. Each frame goes to its ``Session``, which may answer with something to wait for:
while the connection waits it does not read the socket, so pressure goes back to the exchange.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlsplit

import structlog
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from ingestion.binance.backoff import Budget, control_budget
from ingestion.binance.streams import Change, Request, StreamNames, difference, requests, stream_names

log = structlog.get_logger(__name__)

MAX_FRAME_BYTES = 1 << 20
OPEN_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 2.0
# Frames the library may hold before it stops reading the socket; a chunk of 64 kB holds some 400.
QUEUE_FRAMES = 2048
PING_EVERY_S = 20.0
REGION_STATUSES = (403, 451)


class Session(Protocol):
    """What becomes of one connection's frames. Made when the connection is, told when it ends."""

    def take(self, payload: bytes) -> Awaitable[None] | None:
        """Handle one frame; an answer is awaited before the next frame is read."""

    def subscribing(self, symbols: Iterable[str]) -> None:
        """These symbols are about to be asked for: their frames may come from now on."""

    def acknowledged(self, symbols: Iterable[str]) -> None:
        """The exchange has confirmed these symbols."""

    def released(self, symbols: Iterable[str]) -> None:
        """These symbols are given up; what still comes of them is meaningless."""

    def drain_heard(self) -> set[str]:
        """The symbols whose frames came since the last call."""

    def clock(self) -> int | None:
        """The newest time in this connection's frames (epoch ms of the feed), None before the first."""

    def first_time(self) -> int | None:
        """The time of this connection's first frame."""

    def close(self) -> None:
        """No further frame comes."""


class ConnectFailed(Exception):
    """No connection came about. ``by_region``: the exchange refuses this address, waiting will not help."""

    def __init__(self, reason: str, *, by_region: bool = False) -> None:
        super().__init__(reason)
        self.by_region = by_region


@dataclass(slots=True)
class _Pending:
    request: Request
    sent_at: float


@dataclass(eq=False)
class Connection:
    """One connection and what it has been asked for. Use from one event loop only."""

    name: str
    url: str
    make_session: Callable[["Connection"], Session]
    nudge: Callable[[], None]
    clock: Callable[[], float] = time.monotonic
    budget: Budget = field(default_factory=control_budget)
    names: StreamNames = stream_names
    asked: set[str] = field(default_factory=set)
    acked: set[str] = field(default_factory=set)
    frames: int = 0
    opened_at: float = 0.0
    shutdown_announced: bool = False
    is_held_up: bool = False
    end: str | None = None

    def __post_init__(self) -> None:
        self._socket: ClientConnection | None = None
        self._reading: asyncio.Task[None] | None = None
        self._sending: asyncio.Task[None] | None = None
        self._outbox: asyncio.Queue[Request] = asyncio.Queue()
        self._pending: dict[int | str, _Pending] = {}
        self._next_id = 1
        self.session = self.make_session(self)

    async def open(self) -> None:
        """Connect and start to read. Raises ConnectFailed."""
        try:
            # ping_timeout is off: while we hold the socket back, pongs wait in it too, and the
            # connection would be cut for our own slowness. Frozen sockets are the watchdog's business.
            self._socket = await connect(
                self.url,
                compression=None,
                max_size=MAX_FRAME_BYTES,
                max_queue=QUEUE_FRAMES,
                open_timeout=OPEN_TIMEOUT_S,
                close_timeout=CLOSE_TIMEOUT_S,
                ping_interval=PING_EVERY_S,
                ping_timeout=None,
                proxy=None if _is_loopback(self.url) else True,
            )
        except InvalidStatus as error:
            status = error.response.status_code
            raise ConnectFailed(f"HTTP {status}", by_region=status in REGION_STATUSES) from error
        except (OSError, TimeoutError, InvalidHandshake, InvalidURI) as error:
            raise ConnectFailed(f"{type(error).__name__}: {error}") from error
        self.opened_at = self.clock()
        self._reading = asyncio.create_task(self._read(), name=f"read {self.name}")
        self._sending = asyncio.create_task(self._send(), name=f"send {self.name}")

    def carry(self, symbols: Iterable[str]) -> Change:
        """Make the subscriptions these symbols; answers what had to be changed."""
        change = difference(self.asked, symbols)
        if change.unsubscribe:
            self.asked.difference_update(change.unsubscribe)
            self.acked.difference_update(change.unsubscribe)
            self.session.released(change.unsubscribe)
            self._ask("UNSUBSCRIBE", change.unsubscribe)
        if change.subscribe:
            self.session.subscribing(change.subscribe)
            self.asked.update(change.subscribe)
            self._ask("SUBSCRIBE", change.subscribe)
        return change

    def subscribe_again(self, symbols: Iterable[str]) -> None:
        """Ask once more for symbols that are silent.

        Without UNSUBSCRIBE before: the exchange acknowledges a repeated SUBSCRIBE and still sends each event
        once, so a symbol that was merely quiet loses nothing.
        """
        self._ask("SUBSCRIBE", tuple(symbols))

    def answered(self, request_id: int | str | None, problem: str | None = None) -> None:
        """A reply of the exchange came: ``problem`` is its error text, None for a confirmation."""
        pending = self._pending.get(request_id) if request_id is not None else None
        symbols = pending.request.symbols if pending else ()
        if problem is not None:
            # It stays pending: as unanswered it makes the lane try another connection.
            log.error("The exchange refused a request", connection=self.name, problem=problem, symbols=symbols)
            return
        if pending is None:
            return
        del self._pending[pending.request.request_id]
        if pending.request.method == "SUBSCRIBE":
            self.confirm(symbols)

    def confirm(self, symbols: Iterable[str]) -> None:
        """These symbols are subscribed: the exchange said so, or their frames come."""
        fresh = (set(symbols) & self.asked) - self.acked
        if fresh:
            self.acked.update(fresh)
            self.session.acknowledged(fresh)
            self.nudge()

    def announce_shutdown(self) -> None:
        """The server said that it will go away."""
        self.shutdown_announced = True
        self.nudge()

    def unanswered_s(self) -> float:
        """For how long the oldest request of unconfirmed symbols has been without an answer; 0.0 when none is."""
        open_since = [
            pending.sent_at
            for pending in self._pending.values()
            if not self.acked.issuperset(self.asked.intersection(pending.request.symbols))
        ]
        return self.clock() - min(open_since) if open_since else 0.0

    @property
    def is_acknowledged(self) -> bool:
        """True when every symbol asked for was confirmed."""
        return self.asked <= self.acked

    @property
    def age_s(self) -> float:
        return self.clock() - self.opened_at

    async def close(self) -> None:
        """Close the socket and wait until its last frame was handled. Safe to call twice."""
        if self._sending is not None:
            self._sending.cancel()
        if self._reading is not None and not self._reading.done():
            self._reading.cancel()
            await asyncio.wait([self._reading])
        if self._socket is not None:
            await self._socket.close()
        self._finish("closed by us")

    def raise_bug(self) -> None:
        """Raise what the session raised, if it did: a frame can never do that, so it is a bug."""
        if self._reading is not None and self._reading.done() and not self._reading.cancelled():
            self._reading.result()

    def _ask(self, method: str, symbols: tuple[str, ...]) -> None:
        for request in requests(method, symbols, self._next_id, self.names):
            self._next_id += 1
            self._outbox.put_nowait(request)

    async def _send(self) -> None:
        assert self._socket is not None
        while True:
            request = await self._outbox.get()
            while (wait_s := self.budget.wait_s(self.clock())) > 0:
                await asyncio.sleep(wait_s)
            self.budget.spend(self.clock())
            self._pending[request.request_id] = _Pending(request, self.clock())
            try:
                await self._socket.send(request.encode())
            except ConnectionClosed:
                return  # The reader meets the same end and says so.

    async def _read(self) -> None:
        assert self._socket is not None
        receive, take = self._socket.recv, self.session.take
        try:
            while True:
                wait = take(await receive(decode=False))
                self.frames += 1
                if wait is not None:
                    self.is_held_up = True
                    await wait
                    self.is_held_up = False
        except ConnectionClosed as closed:
            self._finish(_describe(closed))
        finally:
            self._finish("the reader stopped")

    def _finish(self, end: str) -> None:
        if self.end is not None:
            return
        self.end = end
        self.session.close()
        self.nudge()


def _is_loopback(url: str) -> bool:
    """A simulated exchange on this machine is never behind the proxy that the environment names."""
    return urlsplit(url).hostname in ("127.0.0.1", "::1", "localhost")


def _describe(closed: ConnectionClosed) -> str:
    if closed.rcvd is None:
        return "cut without a word"
    return f"{closed.rcvd.code} {closed.rcvd.reason}".strip()
