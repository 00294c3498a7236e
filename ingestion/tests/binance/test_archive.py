"""The archive over HTTP: missing files, downloads that go on, checksums, refusals."""

import datetime as dt
import hashlib

import httpx2
import pytest

from ingestion.binance.archive import BinanceArchive, WrongChecksum
from ingestion.binance.archive_files import ArchiveFile, candidates, date_of, start_of
from ingestion.binance.errors import BadAnswer, ExchangeAway, ExchangeBusy, RegionRefused

FILE = ArchiveFile("BTCUSDT", "aggTrades", dt.date(2024, 1, 31))
DATA = bytes(range(256)) * 4_000
SHA = hashlib.sha256(DATA).hexdigest()


class Server:
    """Serves FILE; notes what it was asked."""

    def __init__(self, data=DATA, checksum=SHA, ranges=True):
        self.data, self.sha256, self.ranges = data, checksum, ranges
        self.asked = []

    def __call__(self, request):
        wanted = request.headers.get("range", "")
        self.asked.append((request.method, request.url.path, wanted))
        if request.url.path.endswith(".CHECKSUM"):
            return httpx2.Response(200, text=f"{self.sha256}  {FILE.name}\n")
        start = int(wanted.removeprefix("bytes=").rstrip("-") or 0) if self.ranges else 0
        if start and start >= len(self.data):
            return httpx2.Response(416)
        return httpx2.Response(206 if start else 200, content=iter((self.data[start:],)))


def archive(server):
    return BinanceArchive("https://archive.test/", transport=httpx2.MockTransport(server))


def answering(status, **fields):
    return archive(lambda request: httpx2.Response(status, **fields))


def once_then(no):
    """True for the first ``no`` questions."""
    asked = iter(range(10_000))
    return lambda: next(asked) < no


def test_names_are_the_archives():
    month = ArchiveFile("BTCUSDT", "1M", dt.date(2024, 1, 1), is_monthly=True)
    klines = ArchiveFile("ETHBTC", "15m", dt.date(2025, 1, 2))

    assert FILE.path == "data/spot/daily/aggTrades/BTCUSDT/BTCUSDT-aggTrades-2024-01-31.zip"
    assert klines.path == "data/spot/daily/klines/ETHBTC/15m/ETHBTC-15m-2025-01-02.zip"
    assert month.path == "data/spot/monthly/klines/BTCUSDT/1mo/BTCUSDT-1mo-2024-01.zip"


def test_days_come_before_months():
    daily, monthly = candidates("BTCUSDT", "aggTrades", start_of(dt.date(2024, 1, 31)) + 5)

    assert daily == FILE
    assert (monthly.date, monthly.is_monthly) == (dt.date(2024, 1, 1), True)
    assert date_of(start_of(FILE.date)) == FILE.date


def test_a_missing_file_is_an_answer():
    assert answering(404).checksum(FILE) is None
    assert answering(404).has(FILE) is False
    assert archive(Server()).checksum(FILE) == SHA


@pytest.mark.parametrize("text", ["", "<html>", f"{SHA}  other.zip", "0123  BTCUSDT-aggTrades-2024-01-31.zip"])
def test_a_checksum_that_is_none_is_a_bad_answer(text):
    with pytest.raises(BadAnswer):
        answering(200, text=text).checksum(FILE)


@pytest.mark.parametrize(
    ("status", "error"), [(403, RegionRefused), (451, RegionRefused), (429, ExchangeBusy), (500, ExchangeAway)]
)
def test_refusals_are_told_apart(status, error, tmp_path):
    with pytest.raises(error):
        answering(status).checksum(FILE)
    with pytest.raises(error):
        answering(status).fetch(FILE, SHA, tmp_path, lambda: True)


def test_a_file_is_fetched_and_verified_once(tmp_path):
    server = Server()

    path = archive(server).fetch(FILE, SHA, tmp_path / "new", lambda: True)
    again = archive(server).fetch(FILE, SHA, tmp_path / "new", lambda: True)

    assert path == again
    assert path.read_bytes() == DATA
    assert len(server.asked) == 1


def test_a_download_goes_on_where_it_was_left(tmp_path):
    server = Server()
    # Also by another process: what is on disk is all that is known.
    assert archive(server).fetch(FILE, SHA, tmp_path, once_then(1)) is None
    (part,) = tmp_path.iterdir()
    begun = part.stat().st_size

    path = archive(server).fetch(FILE, SHA, tmp_path, lambda: True)

    assert path.read_bytes() == DATA
    assert server.asked[-1][2] == f"bytes={begun}-"
    assert 0 < begun < len(DATA)


def test_a_server_without_ranges_is_read_to_the_end(tmp_path):
    server = Server(ranges=False)
    assert archive(server).fetch(FILE, SHA, tmp_path, once_then(1)) is None

    path = archive(server).fetch(FILE, SHA, tmp_path, once_then(0))

    assert path.read_bytes() == DATA


def test_a_download_that_was_killed_at_its_very_end_is_whole(tmp_path):
    server = Server()
    path = archive(server).fetch(FILE, SHA, tmp_path, lambda: True)
    path.rename(path.with_name(path.name + ".part"))

    assert archive(server).fetch(FILE, SHA, tmp_path, lambda: True) == path


def test_what_is_not_its_checksum_is_thrown_away(tmp_path):
    with pytest.raises(WrongChecksum):
        archive(Server(data=DATA[:-1])).fetch(FILE, SHA, tmp_path, lambda: True)

    assert list(tmp_path.iterdir()) == []


def test_bytes_of_a_file_that_was_replaced_do_not_mix(tmp_path):
    archive(Server()).fetch(FILE, SHA, tmp_path, once_then(1))
    anew = DATA[::-1]
    server = Server(data=anew)

    path = archive(server).fetch(FILE, hashlib.sha256(anew).hexdigest(), tmp_path, lambda: True)

    assert path.read_bytes() == anew


def test_a_file_without_its_zip_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError):
        answering(404).fetch(FILE, SHA, tmp_path, lambda: True)


def test_an_archive_that_does_not_answer_is_away():
    with pytest.raises(ExchangeAway):
        BinanceArchive("http://127.0.0.1:9").checksum(FILE)
