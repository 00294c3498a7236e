"""Compares what a running demo answers with what follows from the recording, and says what differs."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from websockets.sync.client import connect

from streamloom.tests.demo.running import RunningDemo
from streamloom.tests.e2e.recording import MINUTE, Row, candles, jumps

DAY = 1440 * MINUTE


def pages(demo: RunningDemo, path: str, name: str) -> Iterator[dict[str, Any]]:
    """The items of every page."""
    cursor = ""
    while page := demo.get(path + cursor):
        yield from page[name]
        if page["next"] is None:
            return
        cursor = f"&cursor={page['next']}"


def differences(demo: RunningDemo, rows: list[Row], first_minute: int | None = None) -> list[str]:
    """Everything in which the API differs from the rows of one symbol; ``first_minute``: covered from there on."""
    symbol = rows[0].symbol
    found = [*coverage(demo, rows), *trades(demo, rows)]
    for interval in ("1m", "1h", "1d"):
        found += _candles(demo, symbol, rows, interval, first_minute)
    return found + list(defaults(demo, rows))


def coverage(demo: RunningDemo, rows: list[Row]) -> Iterator[str]:
    answer = demo.get(f"/coverage?symbol={rows[0].symbol}") or {}
    segments = answer.get("segments", [])
    gaps = [(gap["from_id"], gap["to_id"]) for gap in answer.get("gaps", [])]
    ends = (answer.get("first_trade_id"), answer.get("last_trade_id"), answer.get("held"))
    if ends != (rows[0].id, rows[-1].id, len(rows)):
        yield f"coverage: first, last, held are {ends}, not {(rows[0].id, rows[-1].id, len(rows))}"
    inside = [jump for jump in jumps(rows) if not _between(segments, jump)]
    if gaps != inside:
        yield f"coverage: gaps are {gaps[:9]}, not {inside[:9]}"


def _between(segments: list[dict[str, Any]], jump: tuple[int, int]) -> bool:
    """Outside every segment: a span that was never covered."""
    return not any(part["from_id"] <= jump[0] and (part["to_id"] or 1 << 62) >= jump[1] for part in segments)


def trades(demo: RunningDemo, rows: list[Row]) -> Iterator[str]:
    path = f"/trades?symbol={rows[0].symbol}&limit=5000&from_id={rows[0].id}"
    stored = [(row["trade_id"], row["trade_time"]) for row in pages(demo, path, "trades")]
    true = [(row.id, row.time) for row in rows if not row.is_invalid]
    if stored != true:
        lost, more = set(true) - set(stored), set(stored) - set(true)
        yield f"trades: {len(stored)} instead of {len(true)}; lost {sorted(lost)[:3]}, more {sorted(more)[:3]}"


def _candles(demo: RunningDemo, symbol: str, rows: list[Row], interval: str, first_minute: int | None) -> list[str]:
    path = f"/candles?symbol={symbol}&interval={interval}&from=0&limit=5000&state=all"
    stored = {candle["open_time"]: candle for candle in pages(demo, path, "candles")}
    found = []
    # The trade before the first covered minute is held for its price; its minute is not covered.
    for true in candles([row for row in rows if row.time >= (first_minute or 0)], interval):
        mine = stored.pop(true["open_time"], None)
        wrong = {
            name: (value, mine and mine.get(name)) for name, value in true.items() if not mine or mine[name] != value
        }
        if wrong:
            found.append(f"{interval} {true['open_time']}: (true, ours) {wrong if mine else 'no candle'}")
    found += [
        f"{interval} {at}: a candle too many ({candle['state']})" for at, candle in stored.items() if candle["trades"]
    ]
    return [f"{len(found)} candles of {interval} differ: {found[0]}; last {found[-1]}"] if found else []


def states(demo: RunningDemo, symbol: str) -> dict[str, Counter[str]]:
    return {
        interval: Counter(
            candle["state"]
            for candle in pages(
                demo, f"/candles?symbol={symbol}&interval={interval}&from=0&limit=5000&state=all", "candles"
            )
        )
        for interval in ("1m", "1h", "1d")
    }


def defaults(demo: RunningDemo, rows: list[Row]) -> Iterator[str]:
    """Answers to questions without a time: "now" is the feed's."""
    symbol, last = rows[0].symbol, rows[-1]
    newest = max(row.time for row in rows)
    open_time = newest // MINUTE * MINUTE
    for interval in ("1m", "1h", "1d"):
        answer = demo.get(f"/candles?symbol={symbol}&interval={interval}&state=all") or {"candles": []}
        if (
            not answer["candles"]
            or not open_time - DAY <= answer["candles"][-1]["open_time"] <= open_time + 10 * MINUTE
        ):
            yield f"/candles {interval}: ends with {answer['candles'][-1:]}"
    for path in ("volume?window=1h", "volatility?window=2h"):
        answer = demo.get(f"/stats/{path}&symbol={symbol}") or {}
        if not open_time - 10 * MINUTE <= answer.get("to", 0) <= open_time + 10 * MINUTE:
            yield f"/stats/{path}: to is {answer.get('to')}: {str(answer)[:200]}"
    spikes = demo.get(f"/stats/spikes?symbol={symbol}&threshold=0.005&window=24h") or {}
    if "spikes" not in spikes or any(abs(spike["open_time"] - newest) > DAY + MINUTE for spike in spikes["spikes"]):
        yield f"/stats/spikes: {str(spikes)[:200]}"
    listed = (demo.get(f"/trades?symbol={symbol}&limit=5") or {"trades": []})["trades"]
    if not listed or (not last.is_invalid and listed[-1]["trade_id"] != last.id):
        yield f"/trades: ends with {listed[-1:]}"
    yield from _snapshot(demo, symbol, open_time)


def _snapshot(demo: RunningDemo, symbol: str, open_time: int) -> Iterator[str]:
    with connect(f"{demo.url.replace('http', 'ws')}/ws/candles/{symbol}/1m", max_size=None) as socket:
        for _ in range(5):
            message = json.loads(socket.recv(timeout=5))
            if message["type"] == "snapshot":
                made = message["candles"]
                if not made or not open_time <= made[-1]["open_time"] <= open_time + 10 * MINUTE:
                    yield f"snapshot: ends with {made[-1:]}"
                return
    yield "no snapshot"
