"""Is everything here that this deployment needs? Each check answers with what it found and, if need be, with the fix.

Embedded, the stores belong to one process: while a demo holds the data folder they are not opened a second time.
"""

import io
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from redis import Redis

from analytics.clickhouse.client import client
from analytics.clickhouse.migrate import HistoryChanged, pending
from ingestion.binance.rest import BinanceRest, ExchangeError, RegionRefused
from ingestion.log import open_log, topics
from streamloom.demo import folder as folders

OK, WARNING, FAILED = "ok", "warning", "failed"
_PYTHONS: Final = ((3, 11), (3, 12))
_SPACE_LEAST: Final = 2 * 2**30
_ASK_S: Final = 3.0
_SKEW_MOST_MS: Final = 5_000


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found. ``fix``: what to do about it; empty when nothing is to be done."""

    name: str
    status: str
    detail: str
    fix: str = ""


def examine() -> Iterator[Finding]:
    """Every finding, each as soon as it is known."""
    yield check_python()
    yield check_mode()
    if settings.STREAMLOOM_MODE == "embedded":
        yield from _embedded_stores()
    else:
        yield from _servers()
    yield check_exchange(settings.BINANCE_REST_URL)


def check_python(version: tuple[int, ...] = sys.version_info[:3]) -> Finding:
    """Is this Python one that is supported?"""
    shown = ".".join(map(str, version))
    if version[:2] in _PYTHONS:
        return Finding("python", OK, shown)
    return Finding("python", FAILED, shown, "install Python 3.11 or 3.12, remove .venv, then: make setup")


def check_mode() -> Finding:
    """Which mode, and what that means."""
    if settings.STREAMLOOM_MODE == "embedded":
        return Finding("mode", OK, "embedded: every store is in the data folder (STREAMLOOM_MODE=services for servers)")
    return Finding("mode", OK, "services: Postgres, Kafka, ClickHouse and Redis by their URLs")


def _embedded_stores() -> Iterator[Finding]:
    folder = settings.STREAMLOOM_DATA_DIR
    if not folder.exists():
        yield Finding("data folder", OK, f"{folder} does not exist yet: manage.py demo makes it")
        return
    try:
        lock = folders.hold(folder)
    except folders.FolderProblem as problem:
        yield _unusable(str(problem))
        return
    with lock:
        yield check_space(shutil.disk_usage(folder).free)
        yield from _stores()


def _unusable(problem: str) -> Finding:
    if "in use" in problem:
        return Finding(
            "data folder", WARNING, problem, "nothing, if that is the demo: its own /health tells of its stores"
        )
    return Finding("data folder", FAILED, problem, "make it writable, or set STREAMLOOM_DATA_DIR to another folder")


def check_space(free: int) -> Finding:
    """Is there room for data? ``free``: bytes."""
    detail = f"{settings.STREAMLOOM_DATA_DIR}, {free / 2**30:.1f} GB free"
    if free >= _SPACE_LEAST:
        return Finding("data folder", OK, detail)
    return Finding("data folder", WARNING, detail, "free some space: a store that cannot write stops the pipeline")


def _stores() -> Iterator[Finding]:
    yield _ask("database", check_database, "is DATABASE_URL right, and the server up?")
    yield _ask("clickhouse", check_clickhouse, "is CLICKHOUSE_URL right, and the server up?")
    yield _ask("log", check_log, "is KAFKA_BROKERS right, and the broker up?")


def _servers() -> Iterator[Finding]:
    yield _ask("database", check_database, "is DATABASE_URL right, and the server up?")
    yield _ask("clickhouse", check_clickhouse, "is CLICKHOUSE_URL right, and the server up?")
    fix = "are KAFKA_BROKERS and the KAFKA_SECURITY_PROTOCOL variables right, and the brokers up?"
    found = _ask("topics", check_topics, fix)
    yield found
    if found.status == OK:
        yield _ask("log", check_log, fix)
    yield _ask("redis", check_redis, "is REDIS_URL right, and the server up?")


def _ask(name: str, check: Callable[[], Finding], fix: str) -> Finding:
    """The check's finding; any error is one too, because the doctor's patient may fail in every way."""
    if settings.STREAMLOOM_MODE == "embedded":
        fix = (
            f"manage.py demo --reset makes the data folder anew (it forgets the data in {settings.STREAMLOOM_DATA_DIR})"
        )
    try:
        return check()
    except Exception as error:  # noqa: BLE001 - each store's driver raises kinds of its own
        return Finding(name, FAILED, f"{type(error).__name__}: {error}", fix)


def check_database() -> Finding:
    """Does the database answer, with every migration?"""
    executor = MigrationExecutor(connection)
    waiting = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if waiting:
        return Finding("database", FAILED, f"{len(waiting)} migrations are pending", "manage.py migrate")
    return Finding("database", OK, f"{connection.vendor}, every migration has run")


def check_clickhouse() -> Finding:
    """Does ClickHouse answer, with every migration?"""
    version = client().command("SELECT version()")
    try:
        waiting = pending(client())
    except HistoryChanged as error:
        return Finding("clickhouse", FAILED, str(error), "restore the file of that migration; write a new one instead")
    if waiting:
        return Finding("clickhouse", FAILED, f"{len(waiting)} migrations are pending", "manage.py clickhouse_migrate")
    return Finding("clickhouse", OK, f"{version}, every migration has run")


def check_topics() -> Finding:
    """Are Kafka's topics as the catalogue wants them?"""
    told = io.StringIO()
    try:
        call_command("create_topics", check=True, stdout=told)
    except CommandError as error:
        return Finding("topics", FAILED, str(error), "are the brokers up? then: manage.py create_topics")
    return Finding("topics", OK, told.getvalue().strip())


def check_redis() -> Finding:
    """Does Redis answer, and does it refuse rather than forget when it is full?"""
    with Redis.from_url(settings.REDIS_URL, socket_timeout=_ASK_S, socket_connect_timeout=_ASK_S) as redis:
        found = redis.info()
    policy = found.get("maxmemory_policy", "unknown")
    detail = f"{found['redis_version']}, {found['used_memory_human']} used, {policy}"
    if policy != "noeviction":
        return Finding(
            "redis", WARNING, detail, "set maxmemory-policy noeviction: wake-ups may be dropped (late, not lost)"
        )
    return Finding("redis", OK, detail)


def check_log() -> Finding:
    """Does the log answer?"""
    log = open_log()
    topic = topics.RAW_TRADES.name
    ends = sum(log.end_offset(topic, partition) for partition in range(log.partitions(topic)))
    return Finding("log", OK, f"{ends:,} records in {topic}")


def check_exchange(url: str) -> Finding:
    """Does the exchange answer, and does its clock agree with ours?"""
    rest = BinanceRest(url, timeout_s=_ASK_S)
    try:
        started = time.time()
        skew_ms = rest.server_time() - started * 1000
    except RegionRefused as error:
        return Finding("exchange", WARNING, f"this region is refused: {error}", _OTHER_HOST)
    except ExchangeError as error:
        return Finding("exchange", WARNING, str(error), _NO_EXCHANGE)
    finally:
        rest.close()
    if abs(skew_ms) > _SKEW_MOST_MS:
        return Finding("exchange", WARNING, f"{url}: its clock is {skew_ms / 1000:+.0f} s from ours", _SKEW)
    return Finding("exchange", OK, f"{url} answers in {(time.time() - started) * 1000:.0f} ms")


_OTHER_HOST: Final = "set BINANCE_REST_URL and BINANCE_WS_URL to a host that serves your region"
_NO_EXCHANGE: Final = "check the network and BINANCE_REST_URL; without an exchange: manage.py demo --source simulated"
_SKEW: Final = "set this machine's clock (latencies are measured by it); a replay of recorded days may be years away"
