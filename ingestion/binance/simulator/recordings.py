"""Recorded trades from files: the archive's aggTrades CSV, and CSV of single fills with a header.

A file is plain, gzip or zip. Times are milliseconds or, above 1e13, microseconds (cut down). A fill becomes a
trade of itself: a = f = l = its id.
"""

import csv
import gzip
import io
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path

from ingestion.binance.simulator.rows import Row
from markets.types import to_scaled

_MICROSECONDS_FROM = 10**13
# Recordings without an event time: the exchange usually sends a trade so long after it happened.
_USUAL_DELAY_MS = 3
_SYMBOL = re.compile(r"(?<![A-Z0-9])(?=[A-Z0-9]*[A-Z])[A-Z0-9]{5,}(?![A-Z0-9])")

# The columns that name each field, in files that have a header.
_COLUMNS: dict[str, tuple[str, ...]] = {
    "symbol": ("symbol", "s"),
    "trade_id": ("agg_trade_id", "aggtradeid", "aggregate_tradeid", "trade_id", "tradeid", "id", "a", "t"),
    "price": ("price", "p"),
    "qty": ("quantity", "qty", "q"),
    "first_id": ("first_trade_id", "firsttradeid", "first_tradeid", "first_id", "f"),
    "last_id": ("last_trade_id", "lasttradeid", "last_tradeid", "last_id", "l"),
    "trade_time": ("trade_time", "transact_time", "transacttime", "timestamp", "time"),
    "event_time": ("event_time",),
    "maker": ("buyer_market_maker", "is_buyer_maker", "isbuyermaker", "buyer_maker", "m"),
}
_ARCHIVE = ("trade_id", "price", "qty", "first_id", "last_id", "trade_time", "maker")

Symboled = tuple[str, Row]


class BadRecording(ValueError):
    """A file cannot be replayed; the text says which, where and why."""


def read_recording(path: Path) -> Iterator[Symboled]:
    """Each trade of the file with its symbol, in the file's order. Raises BadRecording."""
    if not path.is_file():
        raise BadRecording(f"{path}: there is no such file")
    count = 0
    try:
        for found in _read_rows(path):
            yield found
            count += 1
    except (ValueError, IndexError, OSError, zipfile.BadZipFile) as error:
        if isinstance(error, BadRecording):
            raise
        raise BadRecording(f"{path}: cannot read trade {count + 1}: {error}") from error


def _read_rows(path: Path) -> Iterator[Symboled]:
    with _open(path) as text:
        lines = csv.reader(text)
        first = next(lines, None)
        if first is None:
            raise BadRecording(f"{path}: the file is empty")
        if first[0].strip().isdigit():
            places = {name: place for place, name in enumerate(_ARCHIVE)}
            yield from _rows(chain([first], lines), places, _symbol_of(path))
        else:
            places = _places(first, path)
            symbol = "" if "symbol" in places else _symbol_of(path)
            yield from _rows(lines, places, symbol)


def _open(path: Path) -> io.TextIOBase:
    if path.suffix == ".gz":
        return io.TextIOWrapper(gzip.open(path, "rb"), "utf-8", newline="")
    if path.suffix == ".zip":
        archive = zipfile.ZipFile(path)
        names = [name for name in archive.namelist() if name.endswith(".csv")]
        if not names:
            raise BadRecording(f"{path}: there is no .csv in the archive")
        return io.TextIOWrapper(archive.open(names[0]), "utf-8", newline="")
    return path.open(encoding="utf-8", newline="")


def _places(header: list[str], path: Path) -> dict[str, int]:
    names = {name.strip().lower(): place for place, name in enumerate(header)}
    places = {
        field: names[known[0]]
        for field, spellings in _COLUMNS.items()
        if (known := [name for name in spellings if name in names])
    }
    missing = {"trade_id", "price", "qty", "trade_time", "maker"} - places.keys()
    if missing:
        raise BadRecording(f"{path}: its header has no column for {', '.join(sorted(missing))}")
    return places


def _symbol_of(path: Path) -> str:
    found = _SYMBOL.search(path.name)
    if found is None:
        raise BadRecording(f"{path}: neither a column nor the file's name holds the symbol")
    return found.group()


def _rows(lines: Iterable[list[str]], places: dict[str, int], symbol: str) -> Iterator[Symboled]:
    identity, price, qty = places["trade_id"], places["price"], places["qty"]
    first, last = places.get("first_id", identity), places.get("last_id", identity)
    time, maker = places["trade_time"], places["maker"]
    event = _event_time(places.get("event_time"))
    named = places.get("symbol")
    for line in lines:
        if not line:
            continue
        trade_time = _milliseconds(line[time])
        yield (
            line[named] if named is not None else symbol,
            Row(
                int(line[identity]),
                to_scaled(line[price]),
                to_scaled(line[qty]),
                int(line[first]),
                int(line[last]),
                trade_time,
                event(line, trade_time),
                line[maker].strip().lower() == "true",
            ),
        )


def _event_time(place: int | None) -> Callable[[list[str], int], int]:
    if place is None:
        return lambda line, trade_time: trade_time + _USUAL_DELAY_MS
    return lambda line, trade_time: _milliseconds(line[place]) if line[place] else trade_time + _USUAL_DELAY_MS


def _milliseconds(text: str) -> int:
    time = int(text)
    return time // 1000 if time >= _MICROSECONDS_FROM else time
