"""All of ingest against a server that does what the test says; the real log, and REST answers by hand."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from ingestion.binance.lane import FeedLimits
from ingestion.ingest.loop import IngestConfig, IngestLoop
from ingestion.log import codec
from ingestion.log.codec import to_record
from ingestion.log.sqlite import SqliteLog
from ingestion.log.topics import CANDLES_LIVE, DEAD_LETTERS, RAW_TRADES
from ingestion.pipeline.records import Joined, Kline, Live, RawRecord, Trade, Unwatch, Want
from ingestion.tests.binance.scripted import ScriptedExchange, agg_trade, kline
from ingestion.tests.deadline import until
from ingestion.tests.ingest.fakes import FakeRest, make_trade

# A whole minute; the exchange's trades 10..14 were made in the minutes before it.
MINUTE = 1_558_742_400_000
BEFORE = [make_trade(10 + number, MINUTE - 5_000 + number * 1_000) for number in range(5)]
HOUR = 3_600_000


@dataclass(frozen=True)
class Watched:
    backfill_from_ms: int | None = None


class Stage:
    """A server, its REST side, a log and a watch list."""

    def __init__(self, server: ScriptedExchange, folder: Path) -> None:
        self.server = server
        self.rest = FakeRest(BEFORE, time_ms=MINUTE + 30_000)
        self.log = SqliteLog(folder / "log.db", partitions=1)
        self.watched = {"BTCUSDT": Watched()}
        limits = FeedLimits(tick_s=0.05)
        self.config = IngestConfig(server.ws_url, "binance", poll_s=0.05, tick_s=0.05, limits=limits, first_frame_s=0.3)

    @asynccontextmanager
    async def ingesting(self, **changes: object) -> AsyncIterator[IngestLoop]:
        config = replace(self.config, **changes)
        ingest = IngestLoop(config, self.log, self.rest, lambda: dict(self.watched), random.Random(1))
        running = asyncio.create_task(ingest.run())
        try:
            yield ingest
            assert not running.done() or running.result()
        finally:
            running.cancel()
            await asyncio.wait([running])

    def records(self) -> list[RawRecord]:
        end = self.log.end_offset(RAW_TRADES.name, 0)
        return [codec.raw(stored.value) for stored in self.log.read_range(RAW_TRADES.name, 0, 0, end)]

    def of(self, kind: type, symbol: str = "BTCUSDT") -> list:
        return [record for record in self.records() if type(record) is kind and record.symbol == symbol]

    def ids(self, source: str = "binance", symbol: str = "BTCUSDT") -> list[int]:
        return [trade.trade_id for trade in self.of(Trade, symbol) if trade.source == source]

    async def subscribed(self, stream: str = "btcusdt@aggTrade") -> None:
        await until(lambda: any(stream in client.streams for client in self.server.open_clients), stream)

    async def logged(self, condition: Callable[[list[RawRecord]], object]) -> None:
        await until(lambda: condition(self.records()), "the records in the log")


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with ScriptedExchange() as server:
        stage = Stage(server, tmp_path)
        yield stage
        stage.log.close()


async def test_a_first_start_wants_its_minute_before_any_trade(stage):
    async with stage.ingesting():
        await stage.subscribed()
        await stage.server.broadcast(
            agg_trade("BTCUSDT", 17, MINUTE + 20_000), agg_trade("BTCUSDT", 18, MINUTE + 20_001)
        )
        await until(lambda: stage.ids() == [17, 18])

    # 14 is the last trade before the minute: it gives the close before the first candle.
    assert stage.records()[0] == Want("BTCUSDT", 14, MINUTE, "start", MINUTE + 20_000)


async def test_a_symbol_without_a_past_is_wanted_from_its_first_trade_on(stage):
    stage.rest.trades = [make_trade(1, MINUTE + 5), make_trade(2, MINUTE + 6)]
    async with stage.ingesting():
        await stage.subscribed()
        await stage.server.broadcast(kline("BTCUSDT", MINUTE + 20_000))
        await stage.logged(lambda records: records)

    assert stage.records()[0] == Want("BTCUSDT", 1, MINUTE, "start", MINUTE + 20_000)


async def test_a_symbol_that_never_traded_starts_with_its_next_trade(stage):
    stage.rest.trades = []
    async with stage.ingesting():
        await stage.subscribed()
        await stage.server.broadcast(kline("BTCUSDT", MINUTE + 20_000))
        await until(lambda: stage.of(Kline))

    assert stage.records()[0] == Want("BTCUSDT", None, MINUTE, "start", MINUTE + 20_000)


async def test_a_stream_that_says_nothing_starts_at_the_exchanges_time(stage):
    async with stage.ingesting():
        await stage.logged(lambda records: records)

    assert stage.records()[0] == Want("BTCUSDT", 14, MINUTE, "start", MINUTE + 30_000)


async def test_a_quiet_symbol_starts_at_the_time_of_the_stream_even_if_the_exchange_is_far_ahead(stage):
    # A replay at reading speed: the server's clock has run on while its frames wait in our socket.
    stage.rest.time_ms = MINUTE + 5 * HOUR
    stage.watched["ETHUSDT"] = Watched()
    async with stage.ingesting():
        await stage.subscribed("ethusdt@aggTrade")
        await stage.server.broadcast(kline("BTCUSDT", MINUTE + 20_000))
        await until(lambda: stage.of(Want, "ETHUSDT"))

    assert stage.of(Want, "ETHUSDT") == [Want("ETHUSDT", None, MINUTE, "start", MINUTE + 20_000)]


async def test_while_rest_is_away_everything_waits_and_the_want_still_comes_first(stage):
    stage.rest.is_away = True
    async with stage.ingesting() as ingest:
        await stage.subscribed()
        await stage.server.broadcast(agg_trade("BTCUSDT", 17, MINUTE + 20_000), kline("BTCUSDT", MINUTE + 20_001))
        await until(lambda: ingest.snapshot.waiting == ("BTCUSDT",))
        assert stage.records() == []

        stage.rest.is_away = False
        await until(lambda: stage.ids() == [17] and stage.of(Kline))

    assert type(stage.records()[0]) is Want


async def test_the_newest_row_is_logged_once_the_stream_has_come_as_far_and_klines_only_after_it(stage):
    stage.rest.trades.append(make_trade(15, MINUTE + 19_000))
    async with stage.ingesting(again_after_s=0.2):
        await stage.subscribed()
        await stage.server.broadcast(kline("BTCUSDT", MINUTE + 19_500))
        await stage.logged(lambda records: records)
        assert [type(record) for record in stage.records()] == [Want]

        await stage.server.broadcast(kline("BTCUSDT", MINUTE + 21_000))
        await until(lambda: len(stage.of(Kline)) == 2)
        assert [type(record) for record in stage.records()] == [Want, Joined, Trade, Kline, Kline]
        assert stage.ids("rest") == [15]

        stage.rest.trades.append(make_trade(16, MINUTE + 20_000))  # REST lagged behind
        await until(lambda: stage.ids("rest") == [15, 16])


async def test_a_newest_row_waits_for_its_own_symbol_where_another_is_replayed_from_a_later_day(stage):
    stage.watched["ETHUSDT"] = Watched()
    stage.rest.time_ms = MINUTE + 200 * HOUR
    stage.rest.trades.append(make_trade(15, MINUTE + 2 * HOUR))
    async with stage.ingesting():
        await stage.subscribed("ethusdt@aggTrade")
        await stage.server.broadcast(kline("ETHUSDT", MINUTE + 100 * HOUR))
        await stage.server.broadcast(agg_trade("BTCUSDT", 17, MINUTE + 20_000))
        await until(lambda: stage.ids() == [17])
        for second in range(21, 30):
            await stage.server.broadcast(agg_trade("BTCUSDT", second, MINUTE + second * 1_000))
            await until(lambda second=second: stage.ids()[-1] == second)
        assert stage.ids("rest") == []

        await stage.server.broadcast(agg_trade("BTCUSDT", 30, MINUTE + 2 * HOUR + 2_000))
        await until(lambda: stage.ids("rest") == [15])


async def test_a_newest_row_from_the_future_is_a_dead_letter(stage):
    stage.rest.trades.append(make_trade(15, MINUTE + HOUR))
    async with stage.ingesting():
        await stage.subscribed()
        await stage.server.broadcast(kline("BTCUSDT", MINUTE + 20_000))
        await until(lambda: stage.log.end_offset(DEAD_LETTERS.name, 0) == 1)
        await until(lambda: stage.of(Kline))

    assert stage.ids("rest") == []


async def test_after_a_cut_the_newest_row_shows_the_loss_and_nothing_is_wanted_again(stage):
    async with stage.ingesting():
        await stage.subscribed()
        await stage.server.broadcast(agg_trade("BTCUSDT", 15, MINUTE + 20_000))
        await until(lambda: stage.ids() == [15])

        stage.rest.trades += [make_trade(number, MINUTE + 21_000) for number in (15, 16, 17)]
        stage.server.clients[0].cut()
        await until(lambda: len(stage.server.clients) == 2 and stage.server.clients[1].streams)
        await stage.server.broadcast(kline("BTCUSDT", MINUTE + 25_000))
        await until(lambda: stage.of(Kline))

    assert [type(record) for record in stage.records()][-2:] == [Trade, Kline]
    assert stage.ids("rest")[-1] == 17
    assert len(stage.of(Want)) == 1
    assert [joined.cause for joined in stage.of(Joined)] == ["ours", "disconnect"]
    places = [stage.records().index(joined) for joined in stage.of(Joined)]
    assert [type(stage.records()[place + 1]) for place in places] == [Trade, Trade]


async def test_an_enabled_symbol_is_subscribed_while_the_others_go_on(stage):
    async with stage.ingesting():
        await stage.subscribed()
        stage.watched["ETHUSDT"] = Watched()
        await stage.subscribed("ethusdt@aggTrade")
        await stage.server.broadcast(
            agg_trade("ETHUSDT", 1, MINUTE + 20_000), agg_trade("BTCUSDT", 15, MINUTE + 20_000)
        )
        await until(lambda: stage.ids(symbol="ETHUSDT") == [1] and stage.ids() == [15])

    assert len(stage.server.clients) == 1
    assert len(stage.server.clients[0].requests) == 2


async def test_a_disabled_symbol_ends_with_one_record_and_nothing_after_it(stage):
    stage.watched["ETHUSDT"] = Watched()
    async with stage.ingesting():
        await stage.subscribed("ethusdt@aggTrade")
        await stage.server.broadcast(agg_trade("ETHUSDT", 1, MINUTE + 20_000))
        await until(lambda: stage.ids(symbol="ETHUSDT") == [1])

        del stage.watched["ETHUSDT"]
        await until(lambda: stage.of(Unwatch, "ETHUSDT"))
        await stage.server.clients[0].send(agg_trade("ETHUSDT", 2, MINUTE + 21_000))  # was on its way
        await stage.server.clients[0].send(agg_trade("BTCUSDT", 15, MINUTE + 21_000))
        await until(lambda: stage.ids() == [15])
        await until(lambda: "ethusdt@aggTrade" not in stage.server.clients[0].streams)

    assert stage.of(Unwatch, "ETHUSDT") == [Unwatch("ETHUSDT", MINUTE + 20_000)]
    assert stage.ids(symbol="ETHUSDT") == [1]
    assert stage.log.end_offset(DEAD_LETTERS.name, 0) == 0


async def test_a_symbol_that_is_switched_off_and_on_starts_again(stage):
    async with stage.ingesting():
        await stage.subscribed()
        await stage.server.broadcast(agg_trade("BTCUSDT", 15, MINUTE + 20_000))
        await until(lambda: stage.ids() == [15])

        stage.watched = {}
        await until(lambda: stage.of(Unwatch))
        stage.watched = {"BTCUSDT": Watched()}
        await stage.logged(lambda records: len([r for r in records if type(r) is Want]) == 2)
        await stage.subscribed()
        await stage.server.broadcast(agg_trade("BTCUSDT", 16, MINUTE + 21_000))
        await until(lambda: stage.ids() == [15, 16])


async def test_a_restart_wants_nothing_again_and_lets_trades_through_at_once(stage):
    stage.log.append(CANDLES_LIVE.name, [to_record(Live("BTCUSDT", MINUTE, covered_from=MINUTE - HOUR))])
    async with stage.ingesting(history_ms=HOUR // 2):
        await stage.subscribed()
        await stage.server.broadcast(agg_trade("BTCUSDT", 17, MINUTE + 20_000))
        await until(lambda: stage.ids("rest"))

    assert stage.of(Want) == []
    assert stage.ids() == [17]
    assert [type(record) for record in stage.records()][:2] == [Joined, Trade]
    assert [joined.cause for joined in stage.of(Joined)] == ["ours"]


async def test_a_segment_whose_symbol_was_switched_off_while_we_were_away_ends(stage):
    stage.log.append(CANDLES_LIVE.name, [to_record(Live("ETHUSDT", MINUTE, covered_from=MINUTE))])
    async with stage.ingesting():
        await until(lambda: stage.of(Unwatch, "ETHUSDT"))

    assert stage.of(Unwatch, "ETHUSDT") == [Unwatch("ETHUSDT", MINUTE)]


@pytest.mark.parametrize(
    ("since", "from_id"),
    [
        (MINUTE - 2 * HOUR, 3),  # the trade before it gives the close before its first candle
        (MINUTE - 9 * HOUR, 1),  # there is none before it
    ],
)
async def test_history_is_wanted_after_the_start(stage, since, from_id):
    hours = (8, 4, 3, 1)
    past = [make_trade(number, MINUTE - hour * HOUR) for number, hour in enumerate(hours, start=1)]
    stage.rest.trades = past + stage.rest.trades
    stage.watched = {"BTCUSDT": Watched(backfill_from_ms=since + 1)}
    async with stage.ingesting():
        await stage.subscribed()
        await stage.server.broadcast(agg_trade("BTCUSDT", 17, MINUTE + 20_000))
        await until(lambda: len(stage.of(Want)) == 2 and stage.ids() == [17])

    start, history = stage.of(Want)
    assert (start.cause, start.from_id) == ("start", 14)
    assert history == Want("BTCUSDT", from_id, since, "backfill", MINUTE + 20_000)


async def test_history_may_be_asked_for_later(stage):
    async with stage.ingesting():
        await stage.subscribed()
        await stage.server.broadcast(agg_trade("BTCUSDT", 17, MINUTE + 20_000))
        await until(lambda: stage.of(Want))

        stage.watched = {"BTCUSDT": Watched(backfill_from_ms=MINUTE - HOUR)}
        await until(lambda: len(stage.of(Want)) == 2)

    assert stage.of(Want)[1].covered_from == MINUTE - HOUR
    assert len(stage.server.clients) == 1


async def test_the_snapshot_tells_the_operator_how_it_goes(stage):
    async with stage.ingesting() as ingest:
        await stage.subscribed()
        await stage.server.broadcast(agg_trade("BTCUSDT", 17, MINUTE + 20_000))
        await until(lambda: ingest.snapshot.written >= 2)

        (connection,) = ingest.snapshot.connections
        assert (connection.symbols, connection.acknowledged, connection.state) == (1, 1, "open")
        assert ingest.snapshot.last_frame_ms is not None
