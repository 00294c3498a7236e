"""What happens between two ticks: the watch list changes while a connection still carries the symbol."""

import asyncio
import random
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from ingestion.ingest.covered import Covered
from ingestion.ingest.exchange import Exchange, ServerTime
from ingestion.ingest.intake import HELD_FRAMES, GateState, StreamSession
from ingestion.ingest.newest import NewestRow
from ingestion.ingest.starts import Starts
from ingestion.ingest.writer import LogWriter
from ingestion.pipeline.records import Joined, RawRecord, Unwatch, Want
from ingestion.tests.deadline import until
from ingestion.tests.ingest.fakes import FakeConnection, FakeRest, ListLog, make_trade

NOW = 1_558_742_400_000


class NotingWriter(LogWriter):
    """Keeps what was put where a test can see it; writes nothing."""

    @property
    def items(self) -> list[RawRecord]:
        return self._items


class Scene:
    """Starts with one started symbol on one connection, and one that is new."""

    def __init__(self, executor: ThreadPoolExecutor, group: asyncio.TaskGroup) -> None:
        self.rest = FakeRest([make_trade(7, NOW - 1)], time_ms=NOW)
        exchange = Exchange(self.rest, executor, rng=random.Random(1))
        self.bound = bound = ServerTime(exchange)
        self.writer = NotingWriter(ListLog(), executor, rng=random.Random(1))
        newest = NewestRow(exchange, bound, quiet_s=0.01)
        covered = {"BTCUSDT": Covered(NOW, NOW)}
        self.starts = Starts(exchange, newest, self.writer, group.create_task, covered=covered, first_frame_s=0.05)
        self.starts.watch({"BTCUSDT": None})
        self.connection = FakeConnection()
        self.session = StreamSession(self.connection, self.starts, self.writer, bound, "binance")
        self.starts.sessions.add(self.session)
        self.carry("BTCUSDT")

    def carry(self, symbol: str) -> None:
        self.session.subscribing([symbol])
        self.connection.asked.add(symbol)
        self.connection.acked.add(symbol)
        self.session.acknowledged([symbol])

    def of(self, symbol: str) -> list[RawRecord]:
        return [item for item in self.writer.items if item.symbol == symbol]

    def receive(self, symbol: str, trade_id: int) -> None:
        self.session.gates[symbol].receive(make_trade(trade_id, NOW, symbol, "binance"))


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    with ThreadPoolExecutor(2) as executor:
        async with asyncio.TaskGroup() as group:
            scene = Scene(executor, group)
            yield scene
            scene.starts.watch({})
            scene.session.close()


async def test_a_trade_that_comes_after_the_end_of_its_segment_goes_nowhere(scene):
    scene.receive("BTCUSDT", 8)

    scene.starts.watch({})
    scene.receive("BTCUSDT", 9)

    assert [type(item).__name__ for item in scene.writer.items] == ["Joined", "Trade", "Unwatch"]
    assert scene.writer.items[-1] == Unwatch("BTCUSDT", NOW)


async def test_a_symbol_that_returns_before_the_connection_noticed_starts_again_on_it(scene):
    scene.starts.watch({})
    scene.starts.watch({"BTCUSDT": None})
    scene.receive("BTCUSDT", 8)

    await until(lambda: len(scene.writer.items) >= 4)
    assert scene.writer.items[:4] == [
        Unwatch("BTCUSDT", NOW),
        Want("BTCUSDT", 7, NOW, "start", NOW),
        Joined("BTCUSDT", "ours", 0),
        make_trade(8, NOW, "BTCUSDT", "binance"),
    ]


async def test_a_start_that_is_no_longer_wanted_leaves_no_trace(scene):
    scene.rest.is_away = True
    scene.starts.watch({"BTCUSDT": None, "ETHUSDT": None})
    scene.carry("ETHUSDT")

    scene.starts.watch({"BTCUSDT": None})
    scene.rest.is_away = False

    assert scene.session.gates["ETHUSDT"].state is GateState.RETIRED
    assert scene.starts.waiting == []
    assert [item for item in scene.writer.items if item.symbol == "ETHUSDT"] == []


async def test_what_a_connection_brought_before_it_ended_waits_for_the_start_and_comes_in_order(scene):
    scene.rest.is_away = True
    scene.starts.watch({"BTCUSDT": None, "ETHUSDT": None})
    scene.carry("ETHUSDT")
    scene.receive("ETHUSDT", 8)
    scene.session.close()
    fresh = StreamSession(scene.connection, scene.starts, scene.writer, scene.bound, "binance")
    fresh.subscribing(["ETHUSDT"])
    fresh.gates["ETHUSDT"].receive(make_trade(9, NOW, "ETHUSDT", "binance"))

    scene.rest.is_away = False
    await until(lambda: len(scene.of("ETHUSDT")) == 5, "the want and both trades")
    fresh.close()

    want, ours, first, cut, second = scene.of("ETHUSDT")
    assert type(want) is Want
    assert [ours.cause, cut.cause] == ["ours", "disconnect"]
    assert [first.trade_id, second.trade_id] == [8, 9]
    assert scene.starts.gate_for("ETHUSDT").state is GateState.TRADES


async def test_frames_of_ended_connections_wait_only_as_long_as_they_are_few(scene):
    scene.rest.is_away = True
    scene.starts.watch({"ETHUSDT": None})
    for _ in range(4):
        session = StreamSession(scene.connection, scene.starts, scene.writer, scene.bound, "binance")
        session.subscribing(["ETHUSDT"])
        for number in range(HELD_FRAMES // 2):
            session.gates["ETHUSDT"].receive(make_trade(number, NOW, "ETHUSDT", "binance"))
        session.close()

    assert scene.starts.held == HELD_FRAMES
