"""``/health``: does every part that this deployment needs work? ``/health/live``: does the process run?

Stores are asked in threads of their own with one bound for all of them, so a store that hangs makes the answer
``down`` and never late.
"""

import datetime as dt
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, Final

from django.conf import settings
from django.db import close_old_connections, connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from redis import Redis

from analytics.clickhouse.client import client
from ingestion.log import open_log, topics
from ingestion.models import Heartbeat
from ingestion.roles.heartbeat import EVERY_S

Json = dict[str, Any]

OK, DEGRADED, DOWN, ABSENT = "ok", "degraded", "down", "absent"
_BOUND_S: Final = 1.8
# A role that has not beaten for this long is down; a process younger than this has roles that are still starting.
_SILENT_S: Final = 5 * EVERY_S
_ROLES: Final = {
    "ingest": "ingest_trades",
    "process": "process",
    "repair": "repair",
    "klines": "ingest_klines",
    "sink": "dispatch",
}
# Without repair and klines the rest goes on; it is told, but nothing is down for it.
_NEEDED: Final = ("ingest", "process", "sink")
_started_at = time.monotonic()
_asking = ThreadPoolExecutor(max_workers=6, thread_name_prefix="health")


@never_cache
@require_safe
def health(request: HttpRequest) -> JsonResponse:
    """200 with ``ok`` or ``degraded``, 503 with ``down``; every component with its state, latency and detail."""
    components = check_components()
    states = {component["status"] for component in components.values()}
    status = DOWN if DOWN in states else DEGRADED if DEGRADED in states else OK
    answer = {
        "status": status,
        "version": settings.SPECTACULAR_SETTINGS["VERSION"],
        "mode": settings.STREAMLOOM_MODE,
        "components": components,
    }
    return JsonResponse(answer, status=503 if status == DOWN else 200)


@never_cache
@require_safe
def live(request: HttpRequest) -> JsonResponse:
    """200 while the process runs; touches nothing."""
    return JsonResponse({"status": OK})


def check_components() -> dict[str, Json]:
    """The state of each store and role."""
    is_embedded = settings.STREAMLOOM_MODE == "embedded"
    asked: dict[str, Callable[[], str]] = {
        "database" if is_embedded else "postgres": _ask_database,
        "clickhouse": _ask_clickhouse,
        "log" if is_embedded else "kafka": _ask_log,
        **({} if is_embedded else {"redis": _ask_redis}),
    }
    futures = {name: _asking.submit(_timed, ask) for name, ask in asked.items()}
    roles = _asking.submit(_roles)
    wait([*futures.values(), roles], timeout=_BOUND_S)
    absent = ("postgres", "kafka", "redis") if is_embedded else ()
    return {
        **{name: _component(ABSENT, None, "not part of embedded mode") for name in absent},
        **{name: _store(future) for name, future in futures.items()},
        **(roles.result() if roles.done() and not roles.exception() else _unknown_roles()),
    }


def _ask_database() -> str:
    close_old_connections()
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return ""


def _ask_clickhouse() -> str:
    return f"ClickHouse {client().command('SELECT version()')}"


def _ask_log() -> str:
    log = open_log()
    topic = topics.RAW_TRADES.name
    ends = sum(log.end_offset(topic, partition) for partition in range(log.partitions(topic)))
    return f"{ends} records in {topic}"


def _ask_redis() -> str:
    with Redis.from_url(settings.REDIS_URL, socket_timeout=_BOUND_S, socket_connect_timeout=_BOUND_S) as redis:
        redis.ping()
    return ""


def _timed(ask: Callable[[], str]) -> tuple[float, str]:
    started = time.perf_counter()
    detail = ask()
    return round((time.perf_counter() - started) * 1000, 1), detail


def _store(future: "Future[tuple[float, str]]") -> Json:
    if not future.done():
        return _component(DOWN, None, f"no answer within {_BOUND_S:.0f} s")
    error = future.exception()
    if error is not None:
        # The kind of error only: its text may hold host names or SQL.
        return _component(DOWN, None, f"failed: {type(error).__name__}")
    latency_ms, detail = future.result()
    return _component(OK, latency_ms, detail)


def _roles() -> dict[str, Json]:
    close_old_connections()
    now = dt.datetime.now(tz=dt.UTC)
    newest = {beat.role: beat for beat in Heartbeat.objects.order_by("beat_at")}
    uptime_s = time.monotonic() - _started_at
    return {name: role_component(name, newest.get(role), now, uptime_s) for name, role in _ROLES.items()}


def role_component(name: str, beat: Heartbeat | None, now: dt.datetime, uptime_s: float) -> Json:
    """A role's state by its newest heartbeat. ``uptime_s``: this process's age, as roles may start with it."""
    if beat is None or (now - beat.beat_at).total_seconds() > _SILENT_S:
        if uptime_s < _SILENT_S:
            return _component(DEGRADED, None, "starting")
        return _component(DOWN if name in _NEEDED else DEGRADED, None, f"no heartbeat for {_SILENT_S:.0f} s")
    # A role that says it is down still runs: it works late, and says why.
    status = OK if beat.status == OK else DEGRADED
    return _component(status, None, beat.detail)


def _unknown_roles() -> dict[str, Json]:
    return {name: _component(DOWN, None, "the heartbeats cannot be read") for name in _ROLES}


def _component(status: str, latency_ms: float | None, detail: str) -> Json:
    return {"status": status, "latency_ms": latency_ms, "detail": detail}
