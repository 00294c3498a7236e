"""The feed against a server that misbehaves on request. Times are shortened by FeedLimits, never faked."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Iterable
from contextlib import asynccontextmanager

from ingestion.binance.connection import Connection
from ingestion.binance.feed import Feed
from ingestion.binance.lane import FeedLimits
from ingestion.tests.binance.scripted import ScriptedExchange, agg_trade, kline
from ingestion.tests.deadline import until

NOW = 1_700_000_000_000
QUICK = FeedLimits(tick_s=0.05, frozen_after_s=1.0, silent_after_s=1.0, proof_s=1.0, catch_up_stall_s=0.5)


class Recorder:
    """Sessions that note what they hear."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.sessions: list[RecordingSession] = []

    def session(self, connection: Connection) -> "RecordingSession":
        self.sessions.append(RecordingSession(self, connection))
        return self.sessions[-1]


class RecordingSession:
    """``gate`` cleared: its connection is not read on."""

    def __init__(self, recorder: Recorder, connection: Connection) -> None:
        self._recorder, self._connection = recorder, connection
        self._heard: set[str] = set()
        self._times: list[int] = []
        self.acked: set[str] = set()
        self.given_up: set[str] = set()
        self.proven: set[str] = set()
        self.is_closed = False
        self.gate = asyncio.Event()
        self.gate.set()

    def take(self, payload: bytes) -> Awaitable[object] | None:
        frame = json.loads(payload)
        if "result" in frame:
            self._connection.answered(frame["id"])
        elif frame["e"] == "serverShutdown":
            self._connection.announce_shutdown()
        else:
            self._heard.add(frame["s"])
            self._times.append(frame["E"])
            if frame["e"] == "aggTrade":
                self._recorder.ids.append(frame["a"])
        return None if self.gate.is_set() else self.gate.wait()

    def subscribing(self, symbols: Iterable[str]) -> None:
        pass

    def acknowledged(self, symbols: Iterable[str]) -> None:
        self.acked |= set(symbols)

    def released(self, symbols: Iterable[str]) -> None:
        self.given_up |= set(symbols)

    def drain_heard(self) -> set[str]:
        heard, self._heard = self._heard, set()
        self.proven |= heard
        return heard

    def clock(self) -> int | None:
        return max(self._times, default=None)

    def first_time(self) -> int | None:
        return self._times[0] if self._times else None

    def close(self) -> None:
        self.is_closed = True


class Market:
    """Numbered trades of some symbols, a few every millisecond, to whoever is subscribed."""

    def __init__(self, server: ScriptedExchange, *symbols: str) -> None:
        self.server, self.symbols = server, symbols
        self.sent = 0

    async def run(self) -> None:
        while True:
            self.sent += 1
            await self.server.broadcast(*(agg_trade(name, self.sent, NOW + self.sent) for name in self.symbols))
            await asyncio.sleep(0.001)


@asynccontextmanager
async def feeding(
    server: ScriptedExchange, recorder: Recorder, *symbols: str, limits: FeedLimits = QUICK, **options: int
) -> AsyncIterator[Feed]:
    feed = Feed(server.ws_url, recorder.session, rng=random.Random(1), limits=limits, **options)
    feed.watch(symbols)
    running = asyncio.create_task(feed.run())
    try:
        yield feed
        assert not running.done() or running.result()
    finally:
        running.cancel()
        await asyncio.wait([running])


@asynccontextmanager
async def trading(server: ScriptedExchange, *symbols: str) -> AsyncIterator[Market]:
    market = Market(server, *symbols)
    running = asyncio.create_task(market.run())
    try:
        yield market
    finally:
        running.cancel()
        await asyncio.wait([running])


def lost(ids: Iterable[int]) -> set[int]:
    held = set(ids)
    return set(range(min(held), max(held) + 1)) - held


async def test_both_streams_of_a_symbol_are_subscribed_and_their_frames_arrive():
    recorder = Recorder()
    async with ScriptedExchange() as server, feeding(server, recorder, "BTCUSDT") as feed:
        await until(lambda: feed.states() and feed.states()[0].acknowledged == 1)
        await server.broadcast(agg_trade("BTCUSDT", 7, NOW))
        await until(lambda: recorder.ids == [7])

        assert server.clients[0].streams == ["btcusdt@aggTrade", "btcusdt@kline_1m"]


async def test_symbols_are_spread_over_connections_that_each_stay_within_the_limit():
    recorder = Recorder()
    names = [f"S{number}USDT" for number in range(5)]
    async with ScriptedExchange() as server, feeding(server, recorder, *names, max_streams=4) as feed:
        await until(lambda: sum(state.acknowledged for state in feed.states()) == 5)

        assert sorted(len(client.streams) for client in server.clients) == [2, 4, 4]


async def test_a_new_symbol_is_subscribed_without_touching_the_others():
    recorder = Recorder()
    async with ScriptedExchange() as server, feeding(server, recorder, "BTCUSDT") as feed:
        await until(lambda: recorder.sessions and recorder.sessions[0].acked == {"BTCUSDT"})

        feed.watch(["BTCUSDT", "ETHUSDT"])
        await until(lambda: recorder.sessions[0].acked == {"BTCUSDT", "ETHUSDT"})

        assert len(server.clients) == 1
        assert [request["method"] for request in server.clients[0].requests] == ["SUBSCRIBE", "SUBSCRIBE"]
        assert server.clients[0].requests[1]["params"] == ["ethusdt@aggTrade", "ethusdt@kline_1m"]


async def test_a_symbol_that_is_given_up_is_unsubscribed():
    recorder = Recorder()
    async with ScriptedExchange() as server, feeding(server, recorder, "BTCUSDT", "ETHUSDT") as feed:
        await until(lambda: recorder.sessions and len(recorder.sessions[0].acked) == 2)

        feed.watch(["BTCUSDT"])
        await until(lambda: server.clients[0].streams == ["btcusdt@aggTrade", "btcusdt@kline_1m"])

        assert recorder.sessions[0].given_up == {"ETHUSDT"}


async def test_the_last_symbol_takes_its_connection_with_it():
    recorder = Recorder()
    async with ScriptedExchange() as server, feeding(server, recorder, "BTCUSDT") as feed:
        await until(lambda: recorder.sessions and recorder.sessions[0].acked)

        feed.watch([])
        await until(lambda: not server.open_clients)

        assert feed.states() == []


async def test_a_symbol_that_returns_while_its_connection_closes_gets_a_new_one():
    recorder = Recorder()
    async with ScriptedExchange() as server, feeding(server, recorder, "BTCUSDT") as feed:
        await until(lambda: recorder.sessions and recorder.sessions[0].acked)

        feed.watch([])
        feed.watch(["BTCUSDT"])
        await until(lambda: len(recorder.sessions) == 2 and recorder.sessions[1].acked == {"BTCUSDT"})
        await until(lambda: len(server.open_clients) == 1)

        assert server.clients[1].is_open


async def test_many_requests_stay_within_the_exchanges_pace():
    recorder = Recorder()
    names = [f"S{number}" for number in range(250)]
    loop = asyncio.get_running_loop()
    async with ScriptedExchange() as server, feeding(server, recorder, *names, limits=FeedLimits()):
        started = loop.time()
        await until(lambda: recorder.sessions and len(recorder.sessions[0].acked) == 250)

        # Five messages at three a second: the fourth waits for the second second.
        assert len(server.clients[0].requests) == 5
        assert loop.time() - started >= 0.9


async def test_a_cut_connection_is_opened_again_with_all_its_symbols():
    recorder = Recorder()
    async with ScriptedExchange() as server, feeding(server, recorder, "BTCUSDT", "ETHUSDT"):
        await until(lambda: recorder.sessions and len(recorder.sessions[0].acked) == 2)

        server.clients[0].cut()
        await until(lambda: len(recorder.sessions) == 2 and len(recorder.sessions[1].acked) == 2)

        assert recorder.sessions[0].is_closed


async def test_a_shutdown_that_is_announced_loses_no_frame():
    recorder = Recorder()
    async with (
        ScriptedExchange() as server,
        feeding(server, recorder, "BTCUSDT", "ETHUSDT"),
        trading(server, "BTCUSDT", "ETHUSDT") as market,
    ):
        await until(lambda: len(recorder.ids) > 100)

        await server.clients[0].send({"e": "serverShutdown", "E": NOW})
        await until(lambda: len(server.clients) == 2 and not server.clients[0].is_open)
        reached = market.sent
        await until(lambda: recorder.ids[-1] > reached + 50)

        assert lost(recorder.ids) == set()


async def test_an_old_connection_is_replaced_before_it_ends_and_no_frame_is_lost():
    recorder = Recorder()
    limits = FeedLimits(tick_s=0.05, max_age_s=0.3, proof_s=1.0)
    async with (
        ScriptedExchange() as server,
        feeding(server, recorder, "BTCUSDT", limits=limits),
        trading(server, "BTCUSDT"),
    ):
        await until(lambda: len(server.clients) >= 4)
        await until(lambda: not server.clients[2].is_open)

        assert lost(recorder.ids) == set()


async def test_the_old_connection_is_read_up_to_where_the_new_one_began():
    recorder = Recorder()
    async with ScriptedExchange() as server, feeding(server, recorder, "BTCUSDT"):
        await until(lambda: recorder.sessions and recorder.sessions[0].acked)
        recorder.sessions[0].gate.clear()
        # These wait in the first connection's socket while the second is already ahead of them.
        await server.clients[0].send(*(agg_trade("BTCUSDT", number, NOW + number) for number in range(1, 2_000)))
        recorder.sessions[0]._connection.announce_shutdown()
        await until(lambda: len(server.clients) == 2 and server.clients[1].streams)
        await server.broadcast(agg_trade("BTCUSDT", 2_000, NOW + 2_000))
        await until(lambda: "BTCUSDT" in recorder.sessions[1].proven)
        recorder.sessions[0].gate.set()
        await until(lambda: not server.clients[0].is_open)

        assert set(recorder.ids) == set(range(1, 2_001))


async def test_a_replacement_that_is_never_acknowledged_does_not_displace_the_old_connection():
    recorder = Recorder()
    async with (
        ScriptedExchange() as server,
        feeding(server, recorder, "BTCUSDT"),
        trading(server, "BTCUSDT") as market,
    ):
        await until(lambda: len(recorder.ids) > 10)
        server.answers = False

        await server.clients[0].send({"e": "serverShutdown", "E": NOW})
        await until(lambda: len(server.clients) == 2 and not server.clients[1].is_open)
        reached = market.sent
        await until(lambda: recorder.ids[-1] > reached)

        assert server.clients[0].is_open


async def test_a_frozen_connection_is_replaced():
    recorder = Recorder()
    async with ScriptedExchange() as server, feeding(server, recorder, "BTCUSDT"):
        await until(lambda: recorder.sessions and recorder.sessions[0].acked)
        await server.broadcast(kline("BTCUSDT", NOW))

        await until(lambda: len(recorder.sessions) == 2 and not server.clients[0].is_open)
        await until(lambda: recorder.sessions[1].acked)


async def test_a_connection_that_we_hold_back_ourselves_is_not_frozen():
    recorder = Recorder()
    async with ScriptedExchange() as server, feeding(server, recorder, "BTCUSDT") as feed:
        await until(lambda: recorder.sessions and recorder.sessions[0].acked)
        recorder.sessions[0].gate.clear()
        await server.broadcast(kline("BTCUSDT", NOW), kline("BTCUSDT", NOW + 1))
        await until(lambda: feed.states()[0].state == "waiting for the log")
        await asyncio.sleep(1.5)  # longer than frozen_after_s: that nothing happens has no event to wait for

        assert len(server.clients) == 1
        assert feed.states()[0].silent == ()


async def test_a_silent_symbol_is_subscribed_again_and_then_reconnected_for():
    recorder = Recorder()
    async with (
        ScriptedExchange() as server,
        feeding(server, recorder, "BTCUSDT", "ETHUSDT"),
        trading(server, "BTCUSDT"),
    ):
        await until(lambda: server.clients and len(server.clients[0].requests) == 2)
        await until(lambda: len(server.clients) == 2)

        again = server.clients[0].requests[1]
        assert (again["method"], again["params"]) == ("SUBSCRIBE", ["ethusdt@aggTrade", "ethusdt@kline_1m"])
        await until(lambda: not server.clients[0].is_open)
        assert lost(recorder.ids) == set()


async def test_a_refusal_by_region_is_told_apart():
    recorder = Recorder()
    async with ScriptedExchange() as server:
        server.refuse_with = 451
        async with feeding(server, recorder, "BTCUSDT") as feed:
            await until(lambda: feed.refused_by_region == "HTTP 451")

            server.refuse_with = None
            await until(lambda: feed.refused_by_region is None and feed.states()[0].acknowledged == 1)


async def test_a_feed_that_is_cancelled_while_something_happens_ends_all_the_same():
    """A cancellation that meets a nudge in the same turn of the loop must not be swallowed."""
    recorder = Recorder()
    async with ScriptedExchange() as server, feeding(server, recorder, "BTCUSDT") as feed:
        await until(lambda: recorder.sessions and recorder.sessions[0].acked == {"BTCUSDT"})
        (lane,) = feed._lanes.values()

        running = asyncio.create_task(lane._pause(5.0))
        for _ in range(2):  # until it really waits
            await asyncio.sleep(0)
        lane._nudge.set()
        running.cancel()

        done, _ = await asyncio.wait([running], timeout=1.0)
        assert done
        assert running.cancelled()
