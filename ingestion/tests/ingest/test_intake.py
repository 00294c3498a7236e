import asyncio
import json
import random
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from ingestion.ingest.exchange import Exchange, ServerTime
from ingestion.ingest.intake import Gate, GateState, StreamSession
from ingestion.ingest.writer import LogWriter
from ingestion.pipeline.records import DeadLetter, Kline, Reason, Trade
from ingestion.tests.binance.scripted import agg_trade, kline
from ingestion.tests.ingest.fakes import FakeConnection, FakeRest, ListLog

NOW = 1_558_742_400_000


class NotingWriter(LogWriter):
    """Keeps what was put where a test can see it; writes nothing."""

    @property
    def items(self) -> list[Trade | Kline]:
        return self._items

    @property
    def letters(self) -> list[DeadLetter]:
        return self._letters


class OpenDoors:
    """A starter whose gates begin in one state."""

    def __init__(self, writer: LogWriter, state: GateState, held_frames: int) -> None:
        self.writer, self.state, self.held_frames = writer, state, held_frames
        self.begun: list[str] = []
        self.forgotten: list[str] = []

    def gate_for(self, symbol: str) -> Gate:
        state = GateState.TRADES if self.state is GateState.OPEN else self.state
        gate = Gate(symbol, self.writer, state, self.held_frames)
        if self.state is GateState.OPEN:
            gate.open()
        return gate

    def begin(self, session: StreamSession, gate: Gate) -> None:
        self.begun.append(gate.symbol)

    def forget(self, gates: Iterable[Gate]) -> None:
        self.forgotten += [gate.symbol for gate in gates]

    def closed(self, session: StreamSession) -> None:
        pass


class Bench:
    """A session with one subscribed symbol and everything around it."""

    def __init__(
        self, executor: ThreadPoolExecutor, state: GateState = GateState.OPEN, held_frames: int = 10_000
    ) -> None:
        self.rest = FakeRest(time_ms=NOW)
        self.writer = NotingWriter(ListLog(), executor, rng=random.Random(1), capacity=50_000)
        self.starter = OpenDoors(self.writer, state, held_frames)
        self.connection = FakeConnection()
        bound = ServerTime(Exchange(self.rest, executor, rng=random.Random(1)))
        self.session = StreamSession(self.connection, self.starter, self.writer, bound, "binance")
        self.session.subscribing(["BTCUSDT"])
        self.gate = self.session.gates["BTCUSDT"]

    async def take(self, *frames: dict | bytes) -> None:
        for frame in frames:
            wait = self.session.take(frame if isinstance(frame, bytes) else json.dumps(frame).encode())
            if wait is not None:
                await asyncio.wait_for(wait, 5.0)

    @property
    def taken(self) -> list[str]:
        return [f"trade {i.trade_id}" if isinstance(i, Trade) else "kline" for i in self.writer.items]


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


async def test_trades_and_klines_go_to_the_log_in_the_order_of_the_stream(executor):
    bench = Bench(executor)

    await bench.take(agg_trade("BTCUSDT", 1, NOW), kline("BTCUSDT", NOW + 1), agg_trade("BTCUSDT", 2, NOW + 2))

    assert bench.taken == ["trade 1", "kline", "trade 2"]
    assert bench.writer.items[0].source == "binance"


async def test_everything_waits_while_the_symbols_start_is_not_in_the_log(executor):
    bench = Bench(executor, GateState.SHUT)

    await bench.take(kline("BTCUSDT", NOW), agg_trade("BTCUSDT", 1, NOW))
    assert bench.taken == []

    bench.gate.let_trades_through()
    assert bench.taken == ["trade 1", "kline"]


async def test_klines_wait_for_the_newest_row_while_no_trade_comes(executor):
    bench = Bench(executor, GateState.TRADES)

    await bench.take(kline("BTCUSDT", NOW), kline("BTCUSDT", NOW + 2_000))
    assert bench.taken == []

    bench.gate.open()
    assert bench.taken == ["kline", "kline"]


async def test_a_trade_of_this_connection_shows_earlier_losses_as_well_as_the_newest_row(executor):
    bench = Bench(executor, GateState.TRADES)

    await bench.take(kline("BTCUSDT", NOW), agg_trade("BTCUSDT", 9, NOW + 1), kline("BTCUSDT", NOW + 2))

    assert bench.taken == ["trade 9", "kline", "kline"]


async def test_a_symbol_that_waits_for_long_makes_the_connection_wait(executor):
    bench = Bench(executor, GateState.SHUT, held_frames=3)
    await bench.take(agg_trade("BTCUSDT", 1, NOW), agg_trade("BTCUSDT", 2, NOW))

    waiting = asyncio.ensure_future(bench.session.take(json.dumps(agg_trade("BTCUSDT", 3, NOW)).encode()))
    await asyncio.wait([waiting], timeout=0.05)
    assert not waiting.done()

    bench.gate.let_trades_through()
    await asyncio.wait_for(waiting, 5.0)
    assert bench.taken == ["trade 1", "trade 2", "trade 3"]


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (b"{not json", Reason.NOT_JSON),
        (b"\xff\xfe", Reason.NOT_JSON),
        (b'{"e":"depthUpdate","s":"BTCUSDT"}', Reason.NOT_A_TRADE),
        (b'{"e":"aggTrade","E":1,"s":"BTCUSDT"}', Reason.MISSING_FIELD),
        (json.dumps(agg_trade("BTCUSDT", 1, NOW) | {"p": "abc"}).encode(), Reason.BAD_NUMBER),
        (json.dumps(agg_trade("BTCUSDT", 1, NOW) | {"p": "-1.00000000"}).encode(), Reason.IMPOSSIBLE),
        (json.dumps(agg_trade("DOGEUSDT", 1, NOW)).encode(), Reason.UNKNOWN_SYMBOL),
        (json.dumps(kline("BTCUSDT", NOW, interval="5m")).encode(), Reason.NOT_A_TRADE),
    ],
)
async def test_what_cannot_be_used_is_kept_with_reason_bytes_and_origin_and_the_stream_goes_on(executor, frame, reason):
    bench = Bench(executor)

    await bench.take(frame, agg_trade("BTCUSDT", 5, NOW))

    (letter,) = bench.writer.letters
    assert (letter.reason, letter.frame, letter.origin) == (reason, frame, "connection 0.1")
    assert bench.taken == ["trade 5"]


async def test_a_frame_from_the_future_moves_nothing(executor):
    bench = Bench(executor)

    await bench.take(agg_trade("BTCUSDT", 1, NOW), kline("BTCUSDT", NOW + 3_600_000), agg_trade("BTCUSDT", 2, NOW + 1))

    assert bench.taken == ["trade 1", "trade 2"]
    assert [letter.reason for letter in bench.writer.letters] == [Reason.FUTURE_TIME]
    assert bench.session.clock() == NOW + 1


async def test_the_first_frame_of_a_connection_may_not_be_ahead_of_the_exchange_either(executor):
    bench = Bench(executor)

    await bench.take(kline("BTCUSDT", NOW + 3_600_000))

    assert bench.session.clock() is None
    assert [letter.reason for letter in bench.writer.letters] == [Reason.FUTURE_TIME]


async def test_a_quiet_hour_is_believed_when_the_exchanges_clock_has_passed_it(executor):
    bench = Bench(executor)
    await bench.take(agg_trade("BTCUSDT", 1, NOW))
    bench.rest.time_ms = NOW + 3_600_000

    await bench.take(agg_trade("BTCUSDT", 2, NOW + 3_600_000))

    assert bench.taken == ["trade 1", "trade 2"]


async def test_a_trade_whose_own_time_is_ahead_of_its_event_time_is_doubted_too(executor):
    bench = Bench(executor)

    await bench.take(agg_trade("BTCUSDT", 1, time_ms=NOW + 3_600_000, event_ms=NOW))

    assert bench.taken == []


async def test_ordinary_frames_ask_the_exchange_for_nothing(executor):
    bench = Bench(executor)

    await bench.take(*(agg_trade("BTCUSDT", number, NOW + 50_000 * number) for number in range(100)))

    assert bench.rest.times_asked == 1


async def test_replies_go_to_the_connection_and_nowhere_else(executor):
    bench = Bench(executor)

    await bench.take(
        b'{"result":null,"id":3}',
        b'{"error":{"code":2,"msg":"Invalid request"},"id":4}',
        b'{"e":"serverShutdown","E":1}',
    )

    assert bench.connection.replies == [(3, None), (4, "2 Invalid request")]
    assert bench.connection.shutdown_announced
    assert (bench.writer.items, bench.writer.letters) == ([], [])


async def test_frames_of_a_symbol_that_was_just_given_up_are_no_dead_letters(executor):
    bench = Bench(executor)
    bench.session.released(["BTCUSDT"])

    await bench.take(agg_trade("BTCUSDT", 1, NOW))

    assert (bench.taken, bench.writer.letters) == ([], [])
    assert bench.starter.forgotten == ["BTCUSDT"]


async def test_a_session_tells_which_symbols_it_heard_once(executor):
    bench = Bench(executor)
    await bench.take(kline("BTCUSDT", NOW))

    assert bench.session.drain_heard() == {"BTCUSDT"}
    assert bench.session.drain_heard() == set()


async def test_klines_that_wait_for_long_give_way_to_newer_ones_and_the_connection_is_read_on(executor):
    bench = Bench(executor, GateState.TRADES, held_frames=3)

    await bench.take(*(kline("BTCUSDT", NOW + number) for number in range(10)), agg_trade("BTCUSDT", 1, NOW + 10))

    assert [getattr(item, "event_time", None) for item in bench.writer.items] == [NOW + 10, NOW + 8, NOW + 9]
