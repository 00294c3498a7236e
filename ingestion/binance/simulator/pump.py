"""The loop that moves the streams along the feed's clock and hands each reader its frames."""

import asyncio
from collections.abc import Iterable, Mapping

from ingestion.binance.simulator import frames
from ingestion.binance.simulator.book import Book, Spans
from ingestion.binance.simulator.calendar import parse_stream
from ingestion.binance.simulator.faults import FaultPlan
from ingestion.binance.simulator.feeds import Event, Feed
from ingestion.binance.simulator.pace import Pace
from ingestion.binance.simulator.talk import Talk
from ingestion.binance.simulator.wire import Wire, frame

# One turn covers at most so much feed time, so that a quiet night is not one huge batch of klines.
_TURN_MS = 20_000
_LONGEST_SLEEP_S = 0.5
_GOING_AWAY = 1001


class Reader:
    """A connection: what it asked for, and the frames of this turn."""

    def __init__(self, wire: Wire, talk: Talk) -> None:
        self.wire, self.talk = wire, talk
        self.outbox: list[bytes] = []

    def put(self, stream: str, payload: str) -> None:
        self.outbox.append(frame(self.dress(stream, payload)))

    def dress(self, stream: str, payload: str) -> str:
        """The event as this connection wants it: its time unit, wrapped or raw."""
        if self.talk.microseconds:
            payload = frames.in_microseconds(payload)
        return frames.combined(stream, payload) if self.talk.combined else payload


class Pump:
    """Serves all connections from one clock. Everything here runs in the server's event loop."""

    def __init__(self, books: Mapping[str, Book], pace: Pace, plan: FaultPlan) -> None:
        self._books, self._pace = books, pace
        self._feeds: dict[str, Feed] = {}
        self._readers_of: dict[str, dict[Reader, None]] = {}
        self.readers: set[Reader] = set()
        self._reached = pace.now()
        self._woken = asyncio.Event()
        self.plan = plan
        self.apply(plan)

    def apply(self, plan: FaultPlan) -> None:
        """Put faults in force."""
        self.plan = plan
        for symbol, book in self._books.items():
            holes, halts = _spans(plan.holes, symbol), _spans(plan.halts, symbol)
            if (holes, halts) != (book.holes, book.halts):
                book.set_holes(holes)
                book.set_halts(halts)
                if symbol in self._feeds:
                    self._feeds[symbol].forget()
        self._woken.set()

    def subscribe(self, reader: Reader, names: Iterable[str]) -> None:
        """Send these streams to the reader from now on. Unknown ones stay silent."""
        for name in names:
            stream = parse_stream(name)
            if stream is None or stream.symbol not in self._books:
                continue
            readers = self._readers_of.setdefault(name, {})
            if not readers:
                self._catch_up()
                feed = self._feeds.get(stream.symbol)
                if feed is None:
                    feed = Feed(self._books[stream.symbol], self._reached)
                    self._feeds[stream.symbol] = feed
                feed.add(stream, self._reached)
            readers[reader] = None
        if self._feeds:
            self._pace.begin()
        self._woken.set()

    def _catch_up(self) -> None:
        """With nobody reading the loop sleeps: a stream begins now, not where it fell asleep."""
        if not self._feeds and not self._pace.needs_readers:
            self._reached = max(self._reached, self._pace.target())

    def unsubscribe(self, reader: Reader, names: Iterable[str]) -> None:
        """Stop sending these streams to the reader."""
        for name in names:
            readers = self._readers_of.get(name, {})
            readers.pop(reader, None)
            stream = parse_stream(name)
            if readers or stream is None or stream.symbol not in self._feeds:
                continue
            self._readers_of.pop(name, None)
            feed = self._feeds[stream.symbol]
            feed.discard(name)
            if feed.is_idle:
                del self._feeds[stream.symbol]

    def join(self, reader: Reader) -> None:
        """A connection is open."""
        self.readers.add(reader)

    def leave(self, reader: Reader) -> None:
        """A connection is gone."""
        self.readers.discard(reader)
        self.unsubscribe(reader, list(reader.talk.streams))

    async def run(self) -> None:
        """Move the streams until cancelled."""
        while True:
            self._woken.clear()
            pause = await self.step()
            if pause > 0:
                await self._sleep(pause)
            else:
                await asyncio.sleep(0)

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            return

    async def step(self) -> float:
        """One turn; how many seconds nothing is due after it."""
        if self._must_wait():
            return _LONGEST_SLEEP_S
        target = self._pace.target()
        time_ms = min(target, self._horizon(target))
        if time_ms > self._reached:
            self._send(self._events(time_ms))
            self._reached = time_ms
            self._pace.reach(time_ms)
            await self._settle()
        return 0.0 if time_ms < target else self._pause()

    def _must_wait(self) -> bool:
        """A clock that its readers carry stands still without them, and while it is frozen."""
        return self._pace.needs_readers and (not self._feeds or self.plan.frozen)

    def _horizon(self, target: int) -> int:
        if not self._feeds:
            return target
        bounds = [feed.horizon() for feed in self._feeds.values()]
        known = [max(bound, self._reached + 1) for bound in bounds if bound is not None]
        return min([self._reached + _TURN_MS, *known])

    def _pause(self) -> float:
        dues = [due for feed in self._feeds.values() if (due := feed.next_due()) is not None]
        if not dues:
            return _LONGEST_SLEEP_S
        return min(_LONGEST_SLEEP_S, max(0.001, self._pace.seconds_until(min(dues))))

    def _events(self, time_ms: int) -> list[Event]:
        batches = [feed.until(time_ms, self.plan) for feed in self._feeds.values()]
        if len(batches) == 1:
            return batches[0]
        return sorted((event for batch in batches for event in batch), key=lambda event: event.due)

    def _send(self, events: list[Event]) -> None:
        if self.plan.frozen:
            return
        silent = tuple(f"{symbol.lower()}@" for symbol in self.plan.frozen_symbols)
        for event in events:
            if silent and event.stream.startswith(silent):
                continue
            readers = self._readers_of.get(event.stream, ())
            for reader in readers:
                reader.put(event.stream, event.payload)
        self._flush()

    def _flush(self) -> None:
        for reader in self.readers:
            if reader.outbox:
                reader.wire.write(reader.outbox)
                reader.outbox = []
                if self._pace.needs_readers:
                    reader.wire.mark()

    async def _settle(self) -> None:
        """Let the readers take what was written, or cut off those who never will."""
        for reader in list(self.readers):
            if not self._pace.waits_for_readers:
                if reader.wire.is_hopeless:
                    reader.wire.cut()
            elif reader.talk.streams:
                await reader.wire.drain()

    def cut(self) -> int:
        """End all connections without a word; how many there were."""
        readers = list(self.readers)
        for reader in readers:
            reader.wire.cut()
        return len(readers)

    def say(self, stream: str, payload: str) -> int:
        """Send every connection one event that it did not ask for; how many there are."""
        for reader in self.readers:
            reader.wire.write([frame(reader.dress(stream, payload))])
        return len(self.readers)

    def say_raw(self, text: str) -> int:
        """Send every connection this text as it is."""
        for reader in self.readers:
            reader.wire.write([frame(text)])
        return len(self.readers)

    async def shut_down(self, delay_s: float) -> None:
        """Announce the end to the connections that are open now, and end them after the delay."""
        leaving = list(self.readers)
        self.say("!serverShutdown", frames.shutdown(self._pace.now()))
        await asyncio.sleep(delay_s)
        for reader in leaving:
            reader.wire.close(_GOING_AWAY, "server shutdown")


def _spans(by_symbol: Mapping[str, Spans], symbol: str) -> Spans:
    return [(low, high) for low, high in by_symbol.get(symbol, [])]
