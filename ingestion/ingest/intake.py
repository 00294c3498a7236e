"""One connection's frames: what goes to the log at once, what waits at its symbol's gate, what is turned away.

``StreamSession.take`` is the hot path: one parse, one dictionary, a few integers a frame, no task and no lock.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from enum import Enum
from typing import Protocol

from ingestion.binance.connection import Connection
from ingestion.binance.metrics import FRAMES_REJECTED
from ingestion.binance.streams import KLINE_INTERVAL
from ingestion.ingest.exchange import TOLERANCE_MS, ServerTime
from ingestion.ingest.writer import LogWriter
from ingestion.pipeline.parse import Control, parse_stream
from ingestion.pipeline.records import DeadLetter, Joined, Kline, Reason, Rejected, Trade

# Frames of one symbol that wait for its start; beyond that the connection is not read.
HELD_FRAMES = 10_000


class GateState(Enum):
    """What a gate lets through."""

    SHUT = "shut"  # the symbol's start is not in the log yet: everything waits
    TRADES = "trades"  # kline frames wait until a loss before this connection would show
    OPEN = "open"
    RETIRED = "retired"  # given up: what still comes is dropped


class Gate:
    """One symbol on one connection.

    Kline frames move the symbol's clock and close its minutes, so they wait until a trade of this connection, or the
    newest row by REST, is in the log: from then on whatever was lost before shows as a gap by id. ``join`` gives the
    record that is logged just before that: it names the cause of such a gap.
    """

    __slots__ = ("_capacity", "_join", "_put", "clock", "first", "heard", "held", "is_open", "room", "state", "symbol")

    def __init__(
        self,
        symbol: str,
        writer: LogWriter,
        state: GateState,
        capacity: int = HELD_FRAMES,
        join: Callable[[int], Joined] | None = None,
    ) -> None:
        self.symbol, self.state, self.is_open = symbol, state, False
        self._capacity, self._join = capacity, join
        self.clock = 0
        self.heard = False
        self.held: list[Trade | Kline] = []
        self.first, self.room = asyncio.Event(), asyncio.Event()
        self._put = writer.put

    def receive(self, item: Trade | Kline) -> Awaitable[object] | None:
        """Take an item in whatever state; an answer is to be awaited before the next frame is read."""
        if self.state is GateState.OPEN:
            self._put(item)
            return None
        if self.state is GateState.RETIRED:
            return None
        if self.state is GateState.TRADES and type(item) is Trade:
            self.take_row(item)
            self.open()
            return None
        self.held.append(item)
        self.first.set()
        return self._hold_back() if len(self.held) >= self._capacity else None

    def let_trades_through(self) -> None:
        """The symbol's start is in the log."""
        if self.state is GateState.SHUT:
            self.state = GateState.TRADES
            self._release()

    def take_row(self, row: Trade) -> None:
        """A trade that shows by its id what was lost before this connection."""
        self._announce()
        self._put(row)

    def open(self) -> None:
        """A loss before this connection would show: let everything through."""
        if self.state is GateState.TRADES:
            self._announce()
            self.state, self.is_open = GateState.OPEN, True
            self._release()

    def _announce(self) -> None:
        if self._join is not None:
            self._put(self._join(self.clock))
            self._join = None

    def retire(self) -> None:
        """The symbol or the connection is given up. What was held is lost here and shows as a gap by id."""
        self.state, self.is_open = GateState.RETIRED, False
        self._release()

    @property
    def is_waiting(self) -> bool:
        """Frames wait for the symbol's start; they are worth as much after the connection as during it."""
        return self.state is GateState.SHUT and bool(self.held)

    def _release(self) -> None:
        held, self.held = self.held, []
        for item in held:
            self.receive(item)
        self.room.set()

    def _hold_back(self) -> Awaitable[object] | None:
        if self.state is GateState.TRADES:
            # Only kline frames wait here, and each repeats the one before: the oldest can go.
            del self.held[: max(1, self._capacity // 10)]
            return None
        self.room.clear()
        return self.room.wait()


class Starter(Protocol):
    """Who opens the gates."""

    def gate_for(self, symbol: str) -> Gate:
        """A gate for a symbol about to be subscribed."""

    def begin(self, session: "StreamSession", gate: Gate) -> None:
        """The subscription was confirmed."""

    def forget(self, gates: Iterable[Gate]) -> None:
        """These gates are retired."""

    def closed(self, session: "StreamSession") -> None:
        """The connection has ended, and with it the gates that are not retired yet."""


class StreamSession:
    """What becomes of one connection's frames (a ``binance.connection.Session``)."""

    def __init__(
        self, connection: Connection, starter: Starter, writer: LogWriter, server_time: ServerTime, source: str
    ) -> None:
        self.connection = connection
        self.gates: dict[str, Gate] = {}
        self._starter, self._writer, self._server_time, self._source = starter, writer, server_time, source
        self._clock = 0
        self._first: int | None = None
        # Beyond it a frame's time is doubted. A new connection knows nothing: its first frame is checked.
        self._horizon = -1

    def take(self, payload: bytes) -> Awaitable[object] | None:
        """Handle one frame; see ``binance.connection.Session``."""
        item = parse_stream(payload, int(time.time() * 1000), self._source)
        kind = type(item)
        if kind is Trade:
            moment = item.trade_time if item.event_time is None else max(item.event_time, item.trade_time)
        elif kind is Kline and item.interval == KLINE_INTERVAL:
            moment = item.event_time
        else:
            return self._take_other(item, payload)
        gate = self.gates.get(item.symbol)
        if gate is None:
            return self._reject(Reason.UNKNOWN_SYMBOL, "this symbol was not asked for", payload, item.symbol)
        if moment > self._horizon:
            return self._doubt(item, gate, moment, payload)
        return self._accept(item, gate, moment)

    def subscribing(self, symbols: Iterable[str]) -> None:
        for symbol in symbols:
            self.gates[symbol] = self._starter.gate_for(symbol)

    def acknowledged(self, symbols: Iterable[str]) -> None:
        for symbol in symbols:
            self._starter.begin(self, self.gates[symbol])

    def released(self, symbols: Iterable[str]) -> None:
        self._retire([self.gates[symbol] for symbol in symbols if symbol in self.gates])

    def drain_heard(self) -> set[str]:
        heard = {gate.symbol for gate in self.gates.values() if gate.heard}
        for symbol in heard:
            self.gates[symbol].heard = False
        return heard

    def clock(self) -> int | None:
        return self._clock or None

    def first_time(self) -> int | None:
        return self._first

    def close(self) -> None:
        self._server_time.believed(self._clock)
        self._retire([gate for gate in self.gates.values() if not gate.is_waiting])
        self._starter.closed(self)

    def reject(self, reason: Reason, detail: str, frame: bytes, symbol: str = "") -> None:
        """Keep something that cannot be used in ``dead_letters``."""
        FRAMES_REJECTED.labels(reason).inc()
        origin = f"connection {self.connection.name}"
        self._writer.put_letter(DeadLetter(reason, detail[:500], origin, frame, self._clock, symbol))

    def _accept(self, item: Trade | Kline, gate: Gate, moment: int) -> Awaitable[object] | None:
        if moment > self._clock:
            self._clock, self._horizon = moment, moment + TOLERANCE_MS
        if moment > gate.clock:
            gate.clock = moment
        gate.heard = True
        if gate.is_open:
            self._writer.put(item)
        elif (wait := gate.receive(item)) is not None:
            return wait
        return self._writer.room()

    async def _doubt(self, item: Trade | Kline, gate: Gate, moment: int, payload: bytes) -> None:
        if not await self._server_time.allows(moment):
            self._reject(Reason.FUTURE_TIME, f"{moment} is ahead of the exchange's clock", payload, item.symbol)
            return
        if self._first is None:
            self._first = moment
        wait = self._accept(item, gate, moment)
        if wait is not None:
            await wait

    def _take_other(self, item: Kline | Control | Rejected, payload: bytes) -> Awaitable[object] | None:
        if type(item) is Control:
            self._take_control(item)
            return None
        if type(item) is Rejected:
            return self._reject(item.reason, item.detail, item.frame)
        return self._reject(Reason.NOT_A_TRADE, "a kline of another interval", payload, item.symbol)

    def _take_control(self, control: Control) -> None:
        if control.kind == "shutdown":
            self.connection.announce_shutdown()
        else:
            problem = f"{control.code} {control.detail}" if control.kind == "error" else None
            self.connection.answered(control.request_id, problem)

    def _reject(self, reason: Reason, detail: str, frame: bytes, symbol: str = "") -> Awaitable[object] | None:
        self.reject(reason, detail, frame, symbol)
        return self._writer.room()

    def _retire(self, gates: list[Gate]) -> None:
        for gate in gates:
            gate.retire()
        self._starter.forget(gates)
