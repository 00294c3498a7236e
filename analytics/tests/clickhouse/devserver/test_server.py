"""The development server, asked by the client that a real server is asked by."""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import clickhouse_connect
import httpx2
import pyarrow as pa
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError
from django.conf import settings

from streamloom.services.native import NativeServices

pytestmark = pytest.mark.services


def connect(url: str, **options: object) -> Client:
    return clickhouse_connect.get_client(dsn=url, autogenerate_session_id=False, **options)


@pytest.fixture
def store(clickhouse_server: str) -> Iterator[Client]:
    """A client, and the empty table ``kept``."""
    opened = connect(clickhouse_server)
    opened.command("CREATE OR REPLACE TABLE kept (a Int64, b String) ENGINE = ReplacingMergeTree ORDER BY a")
    yield opened
    opened.close()


@pytest.mark.parametrize("compress", [False, "lz4", "zstd", "gzip"])
def test_what_is_inserted_is_read_back_whatever_the_compression(
    store: Client, clickhouse_server: str, compress: object
) -> None:
    asked = connect(clickhouse_server, compress=compress)
    rows = [(number, f"row {number}") for number in range(20_000)]

    done = asked.insert("kept", rows, column_names=["a", "b"])

    assert done.written_rows == 20_000
    assert asked.query("SELECT a, b FROM kept ORDER BY a").result_rows == rows


def test_arrow_goes_in_and_out(store: Client) -> None:
    table = pa.table({"a": [1, 2], "b": ["x", "y"]})

    store.insert_arrow("kept", table)

    assert store.query_arrow("SELECT a, b FROM kept ORDER BY a").to_pydict() == table.to_pydict()


def test_settings_hold_for_one_call_only(store: Client) -> None:
    question = "SELECT value FROM system.settings WHERE name = 'max_block_size'"
    before = store.query(question).first_row[0]

    assert store.query(question, settings={"max_block_size": 1234}).first_row[0] == "1234"
    assert store.query(question).first_row[0] == before


@pytest.mark.parametrize(
    ("sql", "code", "status"),
    [
        ("SELECT nothing", 47, 404),
        ("SELECT * FROM nowhere", 60, 404),
        ("SELEC 1", 62, 400),
        ("SELECT throwIf(1)", 395, 500),
        ("SELECT sleepEachRow(0.5) FROM numbers(9) SETTINGS max_block_size = 1, max_execution_time = 1", 159, 408),
    ],
)
def test_a_refusal_has_clickhouses_number_and_status(store: Client, sql: str, code: int, status: int) -> None:
    with pytest.raises(DatabaseError) as refused:
        store.query(sql)
    raw = httpx2.post(store.url, content=sql)

    assert refused.value.code == code
    assert (raw.status_code, raw.headers["X-ClickHouse-Exception-Code"]) == (status, str(code))


def test_a_bad_insert_leaves_nothing(store: Client) -> None:
    with pytest.raises(DatabaseError):
        store.raw_insert("kept", ["a", "b"], b"1\tone\nno number\ttwo\n", fmt="TSV")

    assert store.query("SELECT count() FROM kept").first_row[0] == 0


def test_headers_tell_what_was_done_under_which_name(store: Client) -> None:
    answer = httpx2.post(store.url, params={"query_id": "mine"}, content="SELECT 1 AS one FORMAT JSONEachRow")

    assert answer.json() == {"one": 1}
    assert answer.headers["X-ClickHouse-Query-Id"] == "mine"
    assert answer.headers["X-ClickHouse-Format"] == "JSONEachRow"
    assert '"read_rows": "1"' in answer.headers["X-ClickHouse-Summary"]


def test_get_answers_and_changes_nothing(store: Client) -> None:
    assert httpx2.get(f"{store.url}/ping").text == "Ok.\n"
    assert httpx2.get(store.url, params={"query": "SELECT 1"}).text == "1\n"
    assert httpx2.get(store.url, params={"query": "DROP TABLE kept"}).headers["X-ClickHouse-Exception-Code"] == "164"


def test_many_ask_at_once(clickhouse_server: str, store: Client) -> None:
    def work(part: int) -> int:
        asked = connect(clickhouse_server)
        asked.insert("kept", [(part * 100 + row, "") for row in range(100)], column_names=["a", "b"])
        return int(asked.query("SELECT {x:Int64}", parameters={"x": part}).first_row[0])

    with ThreadPoolExecutor(12) as pool:
        assert list(pool.map(work, range(24))) == list(range(24))

    assert store.query("SELECT count() FROM kept FINAL").first_row[0] == 2400


def test_what_was_acknowledged_is_there_after_a_kill(services: NativeServices, store: Client) -> None:
    store.insert("kept", [(1, "kept")], column_names=["a", "b"])

    services.kill("clickhouse")
    services.start("clickhouse")

    assert store.query("SELECT b FROM kept").result_rows == [("kept",)]


def test_it_steps_aside_when_a_server_is_named(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("aside") / "data"
    command = [sys.executable, "manage.py", "clickhouse_dev_server", "--path", str(folder), "--port", "8124"]

    told = subprocess.run(
        command,
        cwd=settings.BASE_DIR,
        env={**os.environ, "CLICKHOUSE_URL": "https://clickhouse.example:8443"},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )

    assert told.returncode == 1
    assert "steps aside" in told.stderr
    assert not folder.exists()
