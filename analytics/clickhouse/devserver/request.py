"""What is asked: from the URL's query, the headers and the body to one statement with its settings."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.parser import BytesParser
from typing import Final
from urllib.parse import parse_qsl

from analytics.clickhouse.devserver import encoding

# Consumed by the HTTP interface itself, or without a meaning here; everything else in the URL is a setting.
_NOT_SETTINGS: Final = frozenset(
    (
        "query",
        "database",
        "default_format",
        "query_id",
        "compress",
        "decompress",
        "user",
        "password",
        "quota_key",
        "stacktrace",
        "role",
        "session_id",
        "session_timeout",
        "session_check",
        "session_timezone_id",
        "close_session",
        "buffer_size",
        "wait_end_of_query",
        "enable_http_compression",
        "client_protocol_version",
        "send_progress_in_http_headers",
        "http_headers_progress_interval_ms",
        "cancel_http_readonly_queries_on_client_close",
    )
)
_SETTING_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# An insert whose rows follow in the body. A text insert (VALUES) or INSERT ... SELECT is a statement like any other.
_INSERT: Final = re.compile(
    rb"\s*(INSERT\s+INTO\s+(?:TABLE\s+)?[`\"\w.]+\s*(?:\([^)]*\))?\s*(?:SETTINGS\s+[^\n]+?)?)\s*"
    rb"\bFORMAT\s+(\w+)[ \t;]*\n?",
    re.IGNORECASE,
)
_INSERT_MOST: Final = 64 * 1024
_FORMAT: Final = re.compile(r"\bFORMAT\s+(\w+)\s*(?:SETTINGS\b[^;]*)?;?\s*$", re.IGNORECASE)


class BadRequest(ValueError):
    """A request that cannot be understood; ``code`` is ClickHouse's number for it."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Call:
    """One statement. ``rows``: the data of an insert in ``format``; else ``format`` is what the answer is wanted in."""

    sql: str
    rows: bytes | None
    format: str
    format_is_in_sql: bool
    database: str
    params: dict[str, str] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    query_id: str = ""
    answer_encoding: str = ""


def read_call(method: str, query_string: str, headers: Mapping[str, str], body: bytes) -> Call:
    """The statement that is asked for. ``headers``: by their lower-case names. Raises BadRequest."""
    url = dict(parse_qsl(query_string, keep_blank_values=True))
    if "1" in (url.get("compress"), url.get("decompress")):
        raise BadRequest(48, "ClickHouse's own block compression is not spoken here: use Content-Encoding")
    try:
        body = encoding.unpack(body, headers.get("content-encoding", ""))
    except ValueError as error:
        raise BadRequest(117, str(error)) from error
    form, body = _form(headers.get("content-type", ""), body)
    asked = {**url, **form}
    sql, rows, data_format = _statement(asked.get("query", ""), body)
    named = _FORMAT.search(sql)
    return Call(
        sql=sql,
        rows=rows,
        format=data_format or (named[1] if named else _default_format(asked, headers)),
        format_is_in_sql=named is not None,
        database=asked.get("database") or headers.get("x-clickhouse-database", ""),
        params={name[6:]: value for name, value in asked.items() if name.startswith("param_")},
        settings=_settings(url, method),
        query_id=asked.get("query_id", ""),
        answer_encoding=_answer_encoding(url, headers),
    )


def _statement(query: str, body: bytes) -> tuple[str, bytes | None, str]:
    """The statement, and the rows of an insert with their format. URL and body are read as one text."""
    head = query.encode()
    if head.strip() and body:
        head += b"\n"
    text = head + body
    insert = _INSERT.match(text[:_INSERT_MOST])
    if insert is not None:
        return _text(insert[1]).strip(), text[insert.end() :], insert[2].decode()
    if not text.strip():
        raise BadRequest(62, "Syntax error: empty query")
    return _text(text), None, ""


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise BadRequest(62, f"Syntax error: the statement is no UTF-8 text ({error.reason})") from error


def _default_format(asked: Mapping[str, str], headers: Mapping[str, str]) -> str:
    return asked.get("default_format") or headers.get("x-clickhouse-format") or "TabSeparated"


def _settings(url: Mapping[str, str], method: str) -> dict[str, str]:
    found = {name: value for name, value in url.items() if name not in _NOT_SETTINGS and not name.startswith("param_")}
    for name in found:
        if not _SETTING_NAME.fullmatch(name):
            raise BadRequest(115, f"Unknown setting {name!r}")
    if method == "GET":
        # As ClickHouse does it: what is fetched by GET changes nothing.
        found["readonly"] = "2"
    return found


def _answer_encoding(url: Mapping[str, str], headers: Mapping[str, str]) -> str:
    wanted = url.get("enable_http_compression") in ("1", "true")
    return encoding.choose(headers.get("accept-encoding", "")) if wanted else ""


def _form(content_type: str, body: bytes) -> tuple[dict[str, str], bytes]:
    """The fields of a form (clients send long parameters so), and what is left of the body."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/x-www-form-urlencoded":
        return dict(parse_qsl(body.decode(), keep_blank_values=True)), b""
    if kind != "multipart/form-data":
        return {}, body
    message = BytesParser().parsebytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)
    fields = {}
    for part in message.get_payload():
        if part.get_filename() is not None:
            raise BadRequest(48, "external data is not spoken here")
        content = part.get_payload(decode=True)
        fields[str(part.get_param("name", header="content-disposition"))] = content.decode()
    return fields, b""
