"""One answer from the chDB engine of this process. A handle per call keeps the settings of calls apart."""

import re
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlencode

import chdb

from analytics.clickhouse.devserver.request import Call

_CODE: Final = re.compile(r"Code: (\d+)\.")
_NO_CODE: Final = 1002
# It shares a developer's machine with everything else; a call's own settings win over these.
_LIMITS: Final = {"max_threads": "2", "max_insert_threads": "1", "max_memory_usage": str(2**30)}
_ENGINE_OPTIONS: Final = {"mark_cache_size": str(64 * 2**20)}


class EngineError(Exception):
    """The engine refused; ``code`` is ClickHouse's number, the message is ClickHouse's."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Answer:
    """``format`` is empty when the statement has no result. ``summary``: counts, as texts, as the header has them."""

    body: bytes
    format: str
    summary: dict[str, str]


class Engine:
    """The engine over one folder; at most one in a process, and one process for a folder."""

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self._where = f"{path.resolve()}?{urlencode(_ENGINE_OPTIONS)}"
        # Keeps the engine up between calls.
        self._anchor = chdb.connect(self._where)
        self.version = self._fact("version()")
        self.timezone = self._fact("timezone()")

    def _fact(self, expression: str) -> str:
        return str(self._anchor.query(f"SELECT {expression}", "TabSeparated").bytes().decode().strip())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let the engine go, once the calls under way have ended."""
        self._anchor.close()

    def run(self, call: Call) -> Answer:
        """The answer to one call, from any thread. Raises EngineError."""
        handle = chdb.connect(self._where)
        try:
            _prepare(handle, call)
            return _insert(handle, call) if call.rows is not None else _query(handle, call)
        except (RuntimeError, chdb.ChdbError) as error:
            raise _refusal(error) from error
        finally:
            handle.close()


def _prepare(handle: Any, call: Call) -> None:
    if call.database:
        handle.query("USE `" + call.database.replace("`", "``") + "`")
    settings = {**_LIMITS, **call.settings}
    # Last, because nothing may be set once it is.
    readonly = settings.pop("readonly", None)
    handle.query("SET " + ", ".join(f"{name} = {_quoted(value)}" for name, value in settings.items()))
    if readonly is not None:
        handle.query(f"SET readonly = {_quoted(readonly)}")


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _insert(handle: Any, call: Call) -> Answer:
    with handle.send_insert(call.sql, call.format) as stream:
        stream.append(call.rows)
        done = stream.finish()
    return Answer(b"", "", _summary(0, 0, done.rows_written, done.bytes_written, done.elapsed))


def _query(handle: Any, call: Call) -> Answer:
    if call.format_is_in_sql or call.format != "TabSeparated":
        result = handle.query(call.sql, call.format, params=call.params)
        return Answer(result.bytes() or b"", call.format, _read_summary(result))
    # With the line of names a result of no rows can be told from no result at all; that line goes again.
    result = handle.query(call.sql, "TabSeparatedWithNames", params=call.params)
    names, _, rows = (result.bytes() or b"").partition(b"\n")
    return Answer(rows, call.format if names else "", _read_summary(result))


def _read_summary(result: Any) -> dict[str, str]:
    return _summary(result.rows_read(), result.bytes_read(), 0, 0, result.elapsed())


def _summary(read: int, read_bytes: int, written: int, written_bytes: int, elapsed_s: float) -> dict[str, str]:
    counts = {
        "read_rows": read,
        "read_bytes": read_bytes,
        "written_rows": written,
        "written_bytes": written_bytes,
        "elapsed_ns": int(elapsed_s * 1e9),
    }
    return {name: str(count) for name, count in counts.items()}


def _refusal(error: Exception) -> EngineError:
    message = str(error)
    start = message.find("Code: ")
    found = _CODE.search(message)
    return EngineError(int(found[1]) if found else _NO_CODE, message[max(start, 0) :].strip())
