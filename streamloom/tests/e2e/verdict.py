"""The whole comparison: what the demo answers and what its folder holds, against the exchange's own trades."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from ingestion.binance.simulator.book import Book
from ingestion.pipeline.records import Trade
from markets.types import MINUTE_MS
from streamloom.tests.demo.running import RunningDemo
from streamloom.tests.e2e import answers, oracle
from streamloom.tests.e2e.answers import Json


def whole(demo: RunningDemo, symbol: str) -> Json:
    """The coverage, as soon as nothing is missing."""
    try:
        return demo.until(
            lambda: (found := answers.coverage(demo, symbol)) and answers.is_whole(found) and found, "no gap"
        )
    except AssertionError as error:
        raise AssertionError(f"{symbol} still misses {answers.coverage(demo, symbol)}") from error


def exact(demo: RunningDemo, books: Mapping[str, Book]) -> dict[str, Json]:
    """Every trade once, every closed minute and hour as the trades say. The coverage of each symbol, when whole."""
    found = {symbol: whole(demo, symbol) for symbol in books}
    for symbol, book in books.items():
        held = found[symbol]
        first, last = held["first_trade_id"], held["last_trade_id"]
        truth = oracle.traded(book, first, last)
        assert [trade.trade_id for trade in truth] == list(range(first, last + 1))
        listed = demo.until(
            lambda s=symbol, a=first, b=last: (
                (rows := answers.trades(demo, s, a, b)) and rows[-1]["trade_id"] == b and rows
            ),
            "the trades' pages",
        )
        _same_trades(listed, truth)
        # The last minute may wait for its kline; the one before it is closed for good.
        answers.settled(demo, symbol, truth, _start(held), held["last_time"] // MINUTE_MS * MINUTE_MS - MINUTE_MS)
    return found


def _start(held: Json) -> int:
    [segment] = held["segments"]
    return int(segment["from_time"])


def _same_trades(listed: list[Json], truth: list[Trade]) -> None:
    ids = [row["trade_id"] for row in listed]
    doubled = [trade_id for trade_id, times in Counter(ids).items() if times > 1]
    lost = sorted({trade.trade_id for trade in truth} - set(ids))
    assert (doubled[:10], lost[:10]) == ([], [])
    assert ids == sorted(ids)
    for row, trade in zip(listed, truth, strict=True):
        assert row == oracle.listed(trade)


def sound(folder: Path, held: Mapping[str, Json]) -> Json:
    """The folder of a demo that has ended: nothing twice in log or journal, no trade lost; what was found."""
    found = answers.audit(folder)
    assert found["offsets"] == list(range(len(found["offsets"])))
    assert all(rows == 1 for _, rows in found["journal"])
    # What the sink has not stored yet is stored at the next start: the journal is the log's beginning.
    assert [seq for seq, _ in found["journal"]] == found["seqs"][: len(found["journal"])]
    for symbol, coverage in held.items():
        ids = found["ids"][symbol]
        span = range(coverage["first_trade_id"], coverage["last_trade_id"] + 1)
        assert len(ids) == len(set(ids)), f"{symbol}: doubled in the log"
        assert not set(span) - set(ids), f"{symbol}: lost from the log"
        rows, distinct, _, _ = found["stored"][symbol]
        assert rows == distinct
        closings = found["closings"][symbol]
        assert len(closings) == len(set(closings)), f"{symbol}: a minute closed twice"
    return found
