"""Recorded frames one after the other: at each of the exchange's kline frames our candle says the same."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ingestion.binance.streams import stream_names
from ingestion.tests.deadline import until
from markets.types import MINUTE_MS, to_scaled
from streamloom.tests.demo.running import RunningDemo
from streamloom.tests.e2e import oracle
from streamloom.tests.e2e.answers import Json
from streamloom.tests.e2e.frames import FrameExchange, recorded_frames

RECORDING = oracle.DATA / "ws/BINANCE-ee25be.0.gz"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not RECORDING.exists(), reason=oracle.WHY_SKIPPED),
]

SYMBOLS = ["BTCUSDT", "DOTUSDT", "ETHUSDT"]
PRICES = {"o": "open", "h": "high", "l": "low", "c": "close"}
SUMS = {"v": "volume", "q": "quote_volume", "V": "taker_buy_volume", "Q": "taker_buy_quote_volume"}
# 20:03 began before the recording; 20:04 is in it from its first trade on.
WHOLE_MINUTE = 1617566640000


@pytest.fixture
async def exchange() -> AsyncIterator[FrameExchange]:
    async with FrameExchange(SYMBOLS) as served:
        yield served


def candle_at(demo: RunningDemo, kline: Json) -> Json:
    """Our candle of the kline's minute, as soon as it has the kline's last fill."""
    path = f"/candles?symbol={kline['s']}&interval=1m&state=all&from={kline['t']}&to={kline['t'] + MINUTE_MS}"

    def ask() -> Json | None:
        rows = (demo.get(path) or {"candles": []})["candles"]
        return rows[0] if rows and rows[0]["last_fill_id"] == kline["L"] else None

    return demo.until(ask, f"{kline['s']} up to fill {kline['L']}", 20)


def compare(candle: Json, kline: Json, before: dict[str, set[tuple[int, ...]]]) -> None:
    """Equal in every field; in the minute that began earlier, apart by what was traded before the recording."""
    assert candle["close"] == kline["c"]
    apart = (
        kline["n"] - candle["trades"],
        *(to_scaled(kline[letter]) - to_scaled(candle[name]) for letter, name in SUMS.items()),
    )
    before[kline["s"]].add(apart if kline["t"] < WHOLE_MINUTE else (0,))
    if kline["t"] >= WHOLE_MINUTE:
        assert {letter: candle[name] for letter, name in PRICES.items()} == {letter: kline[letter] for letter in PRICES}
        assert apart == (0, 0, 0, 0, 0)
        assert (candle["first_fill_id"], candle["missing"]) == (kline["f"], 0)


async def test_at_every_kline_frame_our_candle_is_the_exchanges(exchange: FrameExchange, tmp_path: Path) -> None:
    demo = RunningDemo(exchange, tmp_path, "--symbols", ",".join(SYMBOLS), "--history", "0")
    open_klines: dict[str, Json] = {}
    before: dict[str, set[tuple[int, ...]]] = {symbol: set() for symbol in SYMBOLS}
    compared: list[tuple[int, bool]] = []
    try:
        # Those of the trades; the klines' own may come before or after.
        wanted = {stream for symbol in SYMBOLS for stream in stream_names(symbol)}
        await until(lambda: wanted <= exchange.subscribed, "the subscriptions", 120)
        last_fill: dict[str, int] = {}
        for frame in recorded_frames(RECORDING):
            await exchange.send(frame)
            symbol = frame.data["s"]
            if frame.data["e"] == "kline":
                open_klines[symbol] = frame.data["k"]
            else:
                last_fill[symbol] = frame.data["l"]
            kline = open_klines.get(symbol)
            if kline is None or last_fill.get(symbol) != kline["L"]:
                continue
            del open_klines[symbol]
            candle = await asyncio.to_thread(candle_at, demo, kline)
            compare(candle, kline, before)
            compared.append((kline["t"], kline["x"]))
    finally:
        demo.kill()

    # One constant amount per symbol was traded in 20:03 before the recording began.
    assert {symbol: len(apart - {(0,)}) for symbol, apart in before.items()} == dict.fromkeys(SYMBOLS, 1)
    assert sum(open_time >= WHOLE_MINUTE for open_time, _ in compared) >= 45
    assert sum(closed for _, closed in compared) == 3
