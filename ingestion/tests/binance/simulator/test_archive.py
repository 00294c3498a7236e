"""The simulated archive serves what the real one serves: files of whole days, checksums, and its known defects."""

import hashlib
import io
import zipfile

import httpx2
import pytest

from ingestion.binance.simulator.made_up import made_up_books
from ingestion.tests.binance.simulator.support import archive_file, get, recorded, running, steady_rows
from markets.types import DAY_MS, HOUR_MS

# 2024-12-31 and 2025-01-01: the archive's times change from milliseconds to microseconds between them.
OLD_DAY = 1_735_603_200_000
NEW_DAY = OLD_DAY + DAY_MS
SYMBOL = "XMRBTC"


@pytest.fixture(scope="module")
def exchange():
    with running(start_ms=NEW_DAY + DAY_MS + HOUR_MS, weight_limit=100_000) as exchange:
        yield exchange


def fetch(exchange, path, **headers):
    return httpx2.get(f"{exchange.rest_url}/data/spot/{path}", headers=headers)


def lines(response):
    packed = zipfile.ZipFile(io.BytesIO(response.content))
    (name,) = packed.namelist()
    return name, packed.read(name).decode().splitlines()


def daily(data, date, symbol=SYMBOL):
    folder = data if data in ("aggTrades", "trades") else "klines"
    below = symbol if folder == data else f"{symbol}/{data}"
    return f"daily/{folder}/{below}/{symbol}-{data}-{date}.zip"


def test_a_day_of_trades_is_what_the_market_traded_that_day(exchange):
    book = made_up_books(1)[SYMBOL]

    name, rows = lines(fetch(exchange, daily("aggTrades", "2024-12-31")))

    expected = book.rows(book.place_at(OLD_DAY), book.place_at(NEW_DAY))
    assert name == f"{SYMBOL}-aggTrades-2024-12-31.csv"
    assert [int(row.split(",")[0]) for row in rows] == [row.trade_id for row in expected]
    assert [int(row.split(",")[5]) for row in rows] == [row.trade_time for row in expected]


def test_the_rows_look_like_the_exchanges_own(exchange):
    theirs = recorded("vision/spot_BTCUSDT-aggTrades-2026-09-15.head5.csv").read_text().splitlines()[0].split(",")

    _, rows = lines(fetch(exchange, daily("aggTrades", "2025-01-01")))

    ours = rows[0].split(",")
    assert len(ours) == len(theirs)
    assert [len(field.rpartition(".")[2]) for field in ours[1:3]] == [8, 8]
    assert {ours[6], theirs[6]} <= {"True", "False"}
    assert len(ours[5]) == len(theirs[5]) == 16
    assert all(NEW_DAY <= int(row.split(",")[5]) // 1000 < NEW_DAY + DAY_MS for row in rows)


def test_klines_are_rests_in_the_archives_time_units(exchange):
    asked = get(exchange, "klines", symbol=SYMBOL, interval="1h", startTime=NEW_DAY, limit=24).json()

    _, rows = lines(fetch(exchange, daily("1h", "2025-01-01")))

    fields = [row.split(",") for row in rows]
    assert [int(row[0]) for row in fields] == [row[0] * 1000 for row in asked]
    assert [int(row[6]) for row in fields] == [row[6] * 1000 + 999 for row in asked]
    assert [row[1:6] + row[7:8] for row in fields] == [row[1:6] + row[7:8] for row in asked]


def test_the_checksum_is_of_the_file_and_the_file_is_always_the_same(exchange):
    path = daily("aggTrades", "2024-12-31")

    first, again = fetch(exchange, path).content, fetch(exchange, path).content

    told = fetch(exchange, path + ".CHECKSUM").text
    assert first == again
    assert told == f"{hashlib.sha256(first).hexdigest()}  {path.rpartition('/')[2]}\n"


def test_a_download_goes_on_where_it_ended(exchange):
    path = daily("1m", "2024-12-31")
    whole = fetch(exchange, path).content

    rest = fetch(exchange, path, Range="bytes=1000-")

    assert (rest.status_code, rest.content) == (206, whole[1000:])
    assert fetch(exchange, path, Range=f"bytes={len(whole)}-").status_code == 416


@pytest.mark.parametrize(
    "path",
    [
        daily("aggTrades", "2025-01-02"),  # not over yet
        daily("aggTrades", "2023-12-31"),  # before the listing
        daily("aggTrades", "2024-02-30"),
        daily("aggTrades", "2024-12-31", symbol="NOSUCHUSDT"),
        daily("3d", "2024-12-31"),  # there are no daily files of it
        "monthly/aggTrades/XMRBTC/XMRBTC-aggTrades-2025-01.zip",
    ],
)
def test_what_is_not_there_is_a_404(exchange, path):
    assert fetch(exchange, path).status_code == 404


def test_a_month_holds_its_days_and_spells_its_own_interval(exchange):
    _, month = lines(fetch(exchange, "monthly/aggTrades/XMRBTC/XMRBTC-aggTrades-2024-12.zip"))
    _, day = lines(fetch(exchange, daily("aggTrades", "2024-12-31")))

    assert month[-len(day) :] == day
    assert len(lines(fetch(exchange, "monthly/klines/XMRBTC/1mo/XMRBTC-1mo-2024-12.zip"))[1]) == 1


def test_a_file_appears_after_the_delay():
    with running(start_ms=NEW_DAY + DAY_MS + HOUR_MS, archive_delay_ms=12 * HOUR_MS) as exchange:
        assert fetch(exchange, daily("1d", "2024-12-31")).status_code == 200
        assert fetch(exchange, daily("1d", "2025-01-01")).status_code == 404


def test_faults_on_request(exchange):
    path = daily("1m", "2024-12-31")
    name = path.rpartition("/")[2]
    whole, rows = fetch(exchange, path).content, lines(fetch(exchange, path))[1]

    def with_fault(fault):
        exchange.faults.change(archive={name: fault})
        told = fetch(exchange, path + ".CHECKSUM")
        return told.text.split(" ")[0], fetch(exchange, path)

    assert with_fault("missing")[1].status_code == 404
    told, truncated = with_fault("truncated")
    assert told == hashlib.sha256(truncated.content).hexdigest()
    assert 0 < len(lines(truncated)[1]) < len(rows)
    told, replaced = with_fault("replaced")
    assert told == hashlib.sha256(replaced.content).hexdigest() != hashlib.sha256(whole).hexdigest()
    assert lines(replaced)[1] == rows
    told, wrong = with_fault("bad_checksum")
    assert wrong.content == whole
    assert told != hashlib.sha256(whole).hexdigest()
    told, broken = with_fault("broken")
    assert (told, broken.content) == (hashlib.sha256(whole).hexdigest(), whole[: len(whole) // 2])
    assert lines(with_fault("header")[1])[1][1:] == rows
    exchange.faults.end()


def test_a_recorded_market_has_an_archive_too(tmp_path):
    path = archive_file(tmp_path, steady_rows(30, start_ms=NEW_DAY))
    with running(replay=(path,), speed=0, replay_start="now") as exchange:
        # The clock is at the recording's start: its day is not over.
        assert fetch(exchange, daily("aggTrades", "2025-01-01", symbol="ABCUSDT")).status_code == 404


def test_rest_forgets_what_is_older_than_its_reach(exchange):
    everything = get(exchange, "aggTrades", symbol=SYMBOL, fromId=1, limit=3).json()
    exchange.faults.change(rest_reach_ms=2 * HOUR_MS)

    first = get(exchange, "aggTrades", symbol=SYMBOL, fromId=1, limit=3).json()
    now = get(exchange, "time").json()["serverTime"]

    assert everything[0]["a"] == 1
    assert first[0]["T"] >= now - 2 * HOUR_MS - 1000
    assert get(exchange, "aggTrades", symbol=SYMBOL, endTime=now - 3 * HOUR_MS, limit=1).json() == []
    assert get(exchange, "aggTrades", symbol=SYMBOL, startTime=1, limit=1).json() == first[:1]
    # Klines are kept for ever.
    assert len(get(exchange, "klines", symbol=SYMBOL, interval="1h", startTime=OLD_DAY, limit=24).json()) == 24
    exchange.faults.end()
