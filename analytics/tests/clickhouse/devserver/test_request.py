"""From a request to one statement."""

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.clickhouse.devserver import encoding
from analytics.clickhouse.devserver.request import BadRequest, read_call


def test_a_query_is_the_body_and_settings_and_parameters_are_in_the_url() -> None:
    call = read_call("POST", "max_threads=1&param_x=7&database=d&query_id=q", {}, b"SELECT {x:Int8} FORMAT Native")

    assert (call.sql, call.rows) == ("SELECT {x:Int8} FORMAT Native", None)
    assert (call.settings, call.params) == ({"max_threads": "1"}, {"x": "7"})
    assert (call.database, call.query_id, call.format) == ("d", "q", "Native")


@pytest.mark.parametrize(
    ("statement", "rows"),
    [
        (b"INSERT INTO t (a, `values`) FORMAT Native\n\x01\x02", b"\x01\x02"),
        (b"insert into `d`.`t` FORMAT Native\n", b""),
        (b"INSERT INTO t (a) SETTINGS async_insert=0 FORMAT Native\n\n1", b"\n1"),
    ],
)
def test_the_rows_of_an_insert_are_told_from_its_statement(statement: bytes, rows: bytes) -> None:
    call = read_call("POST", "", {}, statement)

    assert (call.rows, call.format) == (rows, "Native")
    assert "FORMAT" not in call.sql


def test_an_insert_may_have_its_statement_in_the_url_and_compressed_rows() -> None:
    call = read_call(
        "POST", "query=INSERT+INTO+t+FORMAT+Arrow", {"content-encoding": "gzip"}, gzip.compress(b"\n\x00rows")
    )

    assert (call.sql, call.format, call.rows) == ("INSERT INTO t", "Arrow", b"\n\x00rows")


@pytest.mark.parametrize("sql", ["INSERT INTO t VALUES (1, ' FORMAT x')", "INSERT INTO t SELECT 1", "SELECT 'FORMAT'"])
def test_a_statement_without_rows_is_left_as_it_is(sql: str) -> None:
    call = read_call("POST", "", {}, sql.encode())

    assert (call.sql, call.rows, call.format_is_in_sql) == (sql, None, False)


def test_what_is_fetched_by_get_may_change_nothing() -> None:
    assert read_call("GET", "query=SELECT+1", {}, b"").settings == {"readonly": "2"}


def test_a_form_carries_long_parameters() -> None:
    body = (
        b'--B\r\nContent-Disposition: form-data; name="query"\r\n\r\nSELECT {x:String}\r\n'
        b'--B\r\nContent-Disposition: form-data; name="param_x"\r\n\r\n\xc3\xbc\r\n--B--\r\n'
    )

    call = read_call("POST", "", {"content-type": "multipart/form-data; boundary=B"}, body)

    assert (call.sql, call.params) == ("SELECT {x:String}", {"x": "ü"})


@pytest.mark.parametrize(
    ("query", "headers", "body", "code"),
    [
        ("", {}, b"  ", 62),
        ("", {}, b"SELECT '\xff'", 62),
        ("a-b=1", {}, b"SELECT 1", 115),
        ("decompress=1", {}, b"SELECT 1", 48),
        ("", {"content-encoding": "gzip"}, b"no gzip", 117),
        ("", {"content-encoding": "snappy"}, b"x", 117),
    ],
)
def test_what_cannot_be_understood_is_refused_by_number(query: str, headers: dict, body: bytes, code: int) -> None:
    with pytest.raises(BadRequest) as refused:
        read_call("POST", query, headers, body)

    assert refused.value.code == code


def test_answers_are_compressed_only_when_asked_for_and_by_the_first_that_is_known() -> None:
    accepting = {"accept-encoding": "br, zstd;q=0.8, gzip"}

    assert read_call("POST", "", accepting, b"SELECT 1").answer_encoding == ""
    assert read_call("POST", "enable_http_compression=1", accepting, b"SELECT 1").answer_encoding == "zstd"


@given(st.binary(max_size=2000), st.sampled_from(["", "lz4", "zstd", "gzip", "deflate"]))
def test_what_is_packed_can_be_unpacked(body: bytes, name: str) -> None:
    assert encoding.unpack(encoding.pack(body, name), name) == body


@pytest.mark.parametrize("name", ["lz4", "zstd", "gzip"])
def test_a_client_may_send_a_frame_per_block(name: str) -> None:
    assert encoding.unpack(encoding.pack(b"one", name) + encoding.pack(b"two", name), name) == b"onetwo"
