"""The way to ClickHouse: one client per thread, built when it is first asked for.

Embedded, the engine (chDB) runs inside this process: it serves threads only, and a child forked after
it was loaded hangs. So nothing here runs at import time, and a client never crosses a fork. A chDB handle
takes one call at a time and an open stream blocks it: hence a client for each thread.
"""

import itertools
import os
import threading
import weakref

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from django.conf import settings

# The engine takes its limits from these: 2 cores and 1.5 GB are shared with every other role.
_ENGINE_OPTIONS = {"mark_cache_size": str(64 * 2**20)}
_EMBEDDED_SETTINGS = {"max_threads": 1, "max_insert_threads": 1, "max_memory_usage": 800 * 2**20}
# Repeats are made harmless by natural keys alone; deduplication of inserts loses data after a kill. A block
# of history may touch more months than the default allows.
_SESSION_SETTINGS = {
    "async_insert": 0,
    "insert_deduplicate": 0,
    "max_partitions_per_insert_block": 0,
    "session_timezone": "UTC",
    "output_format_decimal_trailing_zeros": 1,
}

_local = threading.local()
_open_lock = threading.Lock()
_clients: "weakref.WeakSet[Client]" = weakref.WeakSet()
_generations = itertools.count(1)
_generation = 0
# Keeps the embedded engine up while threads with clients of their own come and go.
_anchor: Client | None = None


def client() -> Client:
    """This thread's client. Never hand it to another thread; streams must be read to their end."""
    mine = (os.getpid(), _generation)
    if getattr(_local, "made_for", None) != mine:
        _local.client = _open()
        _local.made_for = (os.getpid(), _generation)
    return _local.client


def close_clients() -> None:
    """Close every thread's client and, embedded, the engine; the next ``client()`` opens it again."""
    global _anchor, _generation
    with _open_lock:
        for opened in list(_clients):
            opened.close()
        _clients.clear()
        _anchor = None
        _generation = next(_generations)


def _open() -> Client:
    global _anchor
    with _open_lock:
        if settings.STREAMLOOM_MODE == "embedded" and _anchor is None:
            _anchor = _connect()
        return _connect()


def _connect() -> Client:
    opened = _embedded() if settings.STREAMLOOM_MODE == "embedded" else _server()
    _clients.add(opened)
    return opened


def _embedded() -> Client:
    path = settings.STREAMLOOM_DATA_DIR / "clickhouse"
    path.mkdir(parents=True, exist_ok=True)
    return clickhouse_connect.get_client(
        interface="chdb",
        path=str(path),
        chdb_options=_ENGINE_OPTIONS,
        settings={**_SESSION_SETTINGS, **_EMBEDDED_SETTINGS},
    )


def _server() -> Client:
    return clickhouse_connect.get_client(
        dsn=settings.CLICKHOUSE_URL,
        secure=settings.CLICKHOUSE_URL.startswith("https"),
        settings=_SESSION_SETTINGS,
        autogenerate_session_id=False,
        connect_timeout=5,
        send_receive_timeout=60,
    )
