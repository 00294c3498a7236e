"""What a running installation answers over REST, as any program would read it, and how it differs from the oracle."""

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from ingestion.pipeline.records import Trade
from markets.types import Interval
from streamloom.faults import oracle

Json = dict[str, Any]

PAGE = 5000


class Answering(Protocol):
    """What answers REST."""

    def get(self, path: str) -> Any:
        """The JSON of a path; None when it is not served now."""


class Running(Answering, Protocol):
    """What can be waited for, too."""

    def until(self, ask: Callable[[], Any], what: str, timeout_s: float = 60.0) -> Any:
        """What ``ask`` gives, as soon as it is true. Raises AssertionError when it does not come."""


def coverage(demo: Answering, symbol: str) -> Json:
    """What is held; {} while it cannot be told."""
    return demo.get(f"/coverage?symbol={symbol}") or {}


def is_whole(found: Json) -> bool:
    """True when something is held and nothing below the newest trade is missing."""
    return bool(found) and bool(found["held"]) and not found["missing"] and not found["gaps"]


def is_settled(found: Json) -> bool:
    """True when something is held and whatever is missing was proved to be a hole."""
    return bool(found) and bool(found["held"]) and all(gap["state"] == "hole" for gap in found["gaps"])


def pages(demo: Answering, kind: str, query: str) -> list[Json]:
    """All rows of ``/trades`` or ``/candles``, page by page; [] while they are not served."""
    rows: list[Json] = []
    cursor = ""
    while page := demo.get(f"/{kind}?{query}&limit={PAGE}{cursor}"):
        rows += page[kind]
        if page["next"] is None:
            return rows
        cursor = f"&cursor={page['next']}"
    return []


def trades(demo: Answering, symbol: str, first_id: int, last_id: int) -> list[Json]:
    """The trades of these ids as far as the exchange knows of them: what differs by the way they came is left out."""
    rows = pages_of_ids(demo, symbol, first_id, last_id)
    names = ("trade_id", "price", "qty", "is_buyer_maker", "trade_time", "first_id", "last_id")
    return [{name: row[name] for name in names} for row in rows]


def pages_of_ids(demo: Answering, symbol: str, first_id: int, last_id: int) -> list[Json]:
    """The rows of ``/trades`` from one id to another, however many pages that takes."""
    rows: list[Json] = []
    query = f"from_id={first_id}"
    while page := demo.get(f"/trades?symbol={symbol}&limit={PAGE}&{query}"):
        rows += page["trades"]
        if page["next"] is None or rows[-1]["trade_id"] >= last_id:
            break
        query = f"cursor={page['next']}"
    return [row for row in rows if row["trade_id"] <= last_id]


def candles(demo: Answering, symbol: str, interval: Interval, start: int, end: int) -> list[Json]:
    """The closed candles of ``[start, end)``, everything that is said of them."""
    return pages(demo, "candles", f"symbol={symbol}&interval={interval.value}&from={start}&to={end}")


def difference(found: list[Json], expected: list[Json]) -> str:
    """What differs first, or nothing: a comparison of thousands of rows that can be read."""
    if [row["open_time"] for row in found] != [row["open_time"] for row in expected]:
        return f"{len(found)} candles from {found[:1]}, expected {len(expected)} from {expected[:1]}"
    for mine, theirs in zip(found, expected, strict=True):
        wrong = {name: (mine[name], value) for name, value in theirs.items() if mine[name] != value}
        wrong |= {"missing": mine["missing"]} if mine["missing"] else {}
        wrong |= {"state": mine["state"]} if mine["state"] not in ("closed", "certified") else {}
        if wrong:
            return f"{mine['open_time']} {mine['state']}: {wrong}"
    return ""


def settled(demo: Running, symbol: str, truth: list[Trade], start: int, end: int) -> None:
    """Wait until the closed minutes and hours in ``[start, end)`` are exactly those of the trades.

    A minute that a gap touched is made again a moment after the gap has closed.
    """
    for interval in (Interval.M1, Interval.H1):
        first, last = interval.open_of(start), interval.open_of(end)
        if first < start:
            first = interval.next_open(first)
        expected = oracle.candles(truth, interval, first, last)
        wrong = partial(_wrong, demo, symbol, interval, (first, last), expected)
        try:
            demo.until(lambda wrong=wrong: not wrong(), f"every {interval.value} candle")
        except AssertionError as error:
            raise AssertionError(f"{symbol} {interval.value}: {wrong()}") from error


def _wrong(demo: Answering, symbol: str, interval: Interval, span: tuple[int, int], expected: list[Json]) -> str:
    return difference(candles(demo, symbol, interval, *span), expected)
