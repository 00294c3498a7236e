"""The exchange's public archive: one zip a day and one a month for each data set, with a checksum beside it.

Files are a function of the books and the plan, so the same name gives the same bytes until a fault says otherwise.
A file is there once its last day is over and the delay has passed, by the exchange's clock.
"""

import calendar
import datetime as dt
import hashlib
import io
import re
import threading
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ingestion.binance.simulator.answers import Opens, fill_rows, kline_row
from ingestion.binance.simulator.book import Book
from ingestion.binance.simulator.faults import FaultPlan
from ingestion.binance.simulator.rows import Row
from markets.types import DAY_MS, Interval, to_text

# From this day on the exchange writes microseconds: 2025-01-01 UTC.
MICROSECONDS_FROM: Final = 1_735_689_600_000
_DAILY: Final = ("1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d")
_MONTHLY: Final = {**{name: name for name in (*_DAILY, "3d", "1w")}, "1mo": "1M"}
_NAME: Final = re.compile(r"(?P<symbol>[A-Z0-9]+)-(?P<data>\w+)-(?P<date>\d{4}-\d{2}(?:-\d{2})?)\.zip")
_CHECKSUM: Final = ".CHECKSUM"
_CHUNK: Final = 5_000
_KEPT_FILES: Final = 16
# How much of its text a truncated file keeps; some end in the middle of a row.
_TRUNCATED: Final = 0.4
_STAMP: Final = (2020, 1, 1, 0, 0, 0)
_HEADER: Final = b"agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker,is_best\n"

Bytes = Callable[[], Iterator[bytes]]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file that may exist: the data of one symbol from ``start`` to before ``end`` (epoch ms)."""

    name: str
    symbol: str
    data: str
    start: int
    end: int

    @property
    def unit(self) -> int:
        return 1000 if self.start >= MICROSECONDS_FROM else 1


@dataclass(frozen=True, slots=True)
class Packed:
    """A file's bytes and what its CHECKSUM says."""

    data: bytes
    sha256: str


class Archive:
    """Answers ``/data/spot/...``; called in worker threads. ``now``: the exchange's clock."""

    def __init__(
        self, books: Mapping[str, Book], *, now: Callable[[], int], plan: Callable[[], FaultPlan], delay_ms: int
    ) -> None:
        self._books, self._now, self._plan, self._delay_ms = books, now, plan, delay_ms
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, str], Packed] = OrderedDict()

    def routes(self) -> list[Route]:
        """The endpoint."""
        return [Route("/data/spot/{path:path}", self._respond, methods=["GET"])]

    def _respond(self, request: Request) -> Response:
        path = request.path_params["path"]
        wanted = self._find(path.removesuffix(_CHECKSUM))
        if wanted is None:
            return Response("<Error><Code>NoSuchKey</Code></Error>", 404, media_type="application/xml")
        if request.method == "HEAD":
            return Response()
        packed = self._packed(wanted)
        if path.endswith(_CHECKSUM):
            return Response(f"{packed.sha256}  {wanted.name}\n", media_type="text/plain")
        return _part(packed.data, request.headers.get("range", ""))

    def _find(self, path: str) -> Wanted | None:
        wanted = _parse(path)
        book = self._books.get(wanted.symbol) if wanted is not None else None
        if wanted is None or book is None or self._plan().archive.get(wanted.name) == "missing":
            return None
        if wanted.end + self._delay_ms > self._now() or not _has_begun(book, wanted.end):
            return None
        return wanted

    def _packed(self, wanted: Wanted) -> Packed:
        """Made once: a reader asks for the checksum, then for the file, perhaps part by part."""
        fault = self._plan().archive.get(wanted.name, "")
        with self._lock:
            packed = self._kept.get((wanted.name, fault))
            if packed is None:
                packed = self._kept[wanted.name, fault] = self._pack(wanted, fault)
            self._kept.move_to_end((wanted.name, fault))
            if len(self._kept) > _KEPT_FILES:
                self._kept.popitem(last=False)
        return packed

    def _pack(self, wanted: Wanted, fault: str) -> Packed:
        book = self._books[wanted.symbol]
        text: Iterator[bytes] = _text(book, wanted)
        if fault == "truncated":
            whole = b"".join(text)
            text = iter((whole[: int(len(whole) * _TRUNCATED)],))
        elif fault == "header":
            text = _with_header(text)
        data = _zip(wanted.name, text, level=1 if fault == "replaced" else 6)
        sha256 = hashlib.sha256(data).hexdigest()
        if fault == "bad_checksum":
            sha256 = hashlib.sha256(sha256.encode()).hexdigest()
        return Packed(data[: len(data) // 2] if fault == "broken" else data, sha256)


def _parse(path: str) -> Wanted | None:
    """``daily/klines/BTCUSDT/1m/BTCUSDT-1m-2024-01-31.zip`` and its like; None for anything else."""
    *folders, name = path.split("/")
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    symbol, data, date = match["symbol"], match["data"], match["date"]
    is_monthly = len(date) == 7
    kind = ["klines", symbol, data] if data in _MONTHLY else [data, symbol]
    if folders != ["monthly" if is_monthly else "daily", *kind]:
        return None
    if data not in ("aggTrades", "trades") and data not in (_MONTHLY if is_monthly else _DAILY):
        return None
    try:
        first = dt.date.fromisoformat(f"{date}-01" if is_monthly else date)
    except ValueError:
        return None
    days = calendar.monthrange(first.year, first.month)[1] if is_monthly else 1
    start = (first - dt.date(1970, 1, 1)).days * DAY_MS
    return Wanted(name, symbol, _MONTHLY.get(data, data), start, start + days * DAY_MS)


def _has_begun(book: Book, end: int) -> bool:
    return book.place_at(end) > book.first


def _text(book: Book, wanted: Wanted) -> Iterator[bytes]:
    if wanted.data == "aggTrades":
        return _trades(book, wanted, _agg_line)
    if wanted.data == "trades":
        return _trades(book, wanted, _fill_lines)
    return _klines(book, wanted)


def _trades(book: Book, wanted: Wanted, write: Callable[[Book, Row, int], str]) -> Iterator[bytes]:
    place, stop = book.place_at(wanted.start), book.place_at(wanted.end)
    while place < stop:
        rows = book.rows(place, min(stop, place + _CHUNK))
        yield "".join([write(book, row, wanted.unit) for row in rows]).encode()
        place += _CHUNK


def _agg_line(book: Book, row: Row, unit: int) -> str:
    maker = "True" if row.is_buyer_maker else "False"
    return (
        f"{row.trade_id},{to_text(row.price)},{to_text(row.qty)},{row.first_id},{row.last_id},"
        f"{_finer(row.trade_time, unit, row.trade_id)},{maker},True\n"
    )


def _fill_lines(book: Book, row: Row, unit: int) -> str:
    return "".join(
        f"{fill['id']},{fill['price']},{fill['qty']},{fill['quoteQty']},{_finer(fill['time'], unit, row.trade_id)},"
        f"{fill['isBuyerMaker']},True\n"
        for fill in fill_rows(book, row)
    )


def _finer(time_ms: int, unit: int, trade_id: int) -> int:
    """In microseconds the digits below the millisecond are there, and are to be cut off."""
    return time_ms if unit == 1 else time_ms * unit + trade_id % unit


def _klines(book: Book, wanted: Wanted) -> Iterator[bytes]:
    opens = Opens(Interval(wanted.data), 0)
    rows = book.rows(book.first, book.first + 1)
    # The exchange has no kline from before the first trade.
    begins = opens.of(rows[0].trade_time) if rows else wanted.start
    open_time = max(opens.at_or_after(wanted.start), begins)
    while open_time < wanted.end:
        after = opens.after(open_time)
        if not book.is_halted(open_time, after):
            row = kline_row(book, open_time, after, after)
            row[0] *= wanted.unit
            row[6] = row[6] * wanted.unit + wanted.unit - 1
            yield (",".join(map(str, row)) + "\n").encode()
        open_time = after


def _with_header(text: Iterator[bytes]) -> Iterator[bytes]:
    yield _HEADER
    yield from text


def _zip(name: str, text: Iterator[bytes], level: int) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as packed:
        info = zipfile.ZipInfo(name.removesuffix(".zip") + ".csv", _STAMP)
        info.compress_type = zipfile.ZIP_DEFLATED
        info._compresslevel = level  # type: ignore[attr-defined] # the only way for a stream
        with packed.open(info, "w", force_zip64=True) as file:
            for some in text:
                file.write(some)
    return target.getvalue()


def _part(data: bytes, asked: str) -> Response:
    """All of it, or from where ``Range: bytes=N-`` says."""
    match = re.fullmatch(r"bytes=(\d+)-", asked)
    if match is None:
        return Response(data, media_type="application/zip")
    start = int(match[1])
    if start >= len(data):
        return Response(status_code=416, headers={"Content-Range": f"bytes */{len(data)}"})
    headers = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}
    return Response(data[start:], 206, headers, media_type="application/zip")
