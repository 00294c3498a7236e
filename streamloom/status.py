"""The pipeline as an operator sees it: the data of ``/status.json``.

Read from heartbeats, the log's ends, the sink's positions and this process's own tail: never from ClickHouse, so that
it answers while the store is away. A part that cannot be read is named under ``problems``; the rest is answered.
"""

import datetime as dt
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from django.conf import settings
from django.db import DatabaseError

from analytics.models import AuditRun, Dirty, SinkPosition
from analytics.reading.coverage import HOLE, gap_json, touching
from analytics.reading.minutes import Span
from analytics.reading.tail import get_tail
from analytics.reading.view import LiveView
from analytics.sink.selectors import sink_positions
from analytics.sink.tables import ROUTES
from ingestion.log import open_log, topics
from ingestion.log.port import Log, LogError, TopicPartition
from ingestion.models import Heartbeat
from ingestion.pipeline.coverage import missing_ids
from markets.selectors import watched

Json = dict[str, Any]
T = TypeVar("T")

# Beats come every 2 s: five missed ones are no accident.
_SILENT_S: Final = 10.0
# Instances are named by process: what last beat longer ago than this is of another start.
_FORGOTTEN: Final = dt.timedelta(days=1)
_MOST_GAPS: Final = 100
_MOST_AUDITS: Final = 3
_ALL_TIME: Final = Span(0, 2**62)
_WORST_FIRST: Final = ("down", "degraded", "ok")


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of the pipeline: the name it is shown under, what it does, and its role's name and command."""

    name: str
    does: str
    role: str
    command: str


STAGES: Final = (
    Stage("ingest", "exchange → raw_trades", "ingest_trades", "ingest_trades"),
    Stage("process", "raw_trades → trades, candles, coverage", "process", "process_trades"),
    Stage("repair", "gaps → exchange → raw_trades", "repair", "repair_gaps"),
    Stage("klines", "exchange → prices", "ingest_klines", "ingest_klines"),
    Stage("sink", "log → ClickHouse", "dispatch", "dispatch_sink"),
)
_READERS: Final = {topics.RAW_TRADES.name: (topics.GROUP_PROCESS,), topics.COVERAGE.name: (topics.GROUP_REPAIR,)}


def pipeline() -> Json:
    """Every stage, feed, gap and partition. Times in epoch ms by the machine's clock unless named ``feed_time``.

    ``status`` is the worst of the stages; ``lag`` counts records that wait; ages are seconds.
    """
    now = dt.datetime.now(tz=dt.UTC)
    problems: list[str] = []
    stages = _or_empty(lambda: [*_stages(now), _rebuild(), _audit(), _web()], "stages", problems)
    return {
        "time": _ms(now),
        "status": _worst(stage["status"] for stage in stages) if stages and not problems else "down",
        "mode": settings.STREAMLOOM_MODE,
        "source": settings.STREAMLOOM_SOURCE,
        "version": settings.SPECTACULAR_SETTINGS["VERSION"],
        "problems": problems,
        "stages": stages,
        "topics": _or_empty(_topics, "log", problems),
        "symbols": _or_empty(_symbols, "feeds", problems),
        "gaps": _or_empty(_gaps, "gaps", problems),
    }


def _or_empty(read: Callable[[], list[T]], part: str, problems: list[str]) -> list[T]:
    try:
        return read()
    except DatabaseError:
        problems.append(f"{part}: the database does not answer; look at /health and its log")
    except LogError as error:
        problems.append(f"{part}: {error}")
    return []


# --- stages -------------------------------------------------------------------------------------------


def _stages(now: dt.datetime) -> list[Json]:
    beats = list(Heartbeat.objects.filter(beat_at__gte=now - _FORGOTTEN).order_by("-beat_at"))
    known = {stage.role for stage in STAGES}
    others = sorted({beat.role for beat in beats} - known)
    all_stages = (*STAGES, *(Stage(role, "", role, role) for role in others))
    return [stage_json(stage, [beat for beat in beats if beat.role == stage.role], now) for stage in all_stages]


def stage_json(stage: Stage, beats: Sequence[Heartbeat], now: dt.datetime) -> Json:
    """One stage from its instances' heartbeats, newest first: those that still beat, else the last one as ``down``."""
    if not beats:
        detail = f"never started here: python manage.py {stage.command}"
        return _card(stage.name, stage.does, "down", detail, instances=0)
    alive = [beat for beat in beats if (now - beat.beat_at).total_seconds() <= _SILENT_S]
    counted = alive or beats[:1]
    last = max((beat.last_message_at for beat in counted if beat.last_message_at), default=None)
    beat_age = (now - beats[0].beat_at).total_seconds()
    silence = [] if alive else [f"no heartbeat for {beat_age:.0f} s: python manage.py {stage.command}"]
    lags = [beat.lag for beat in counted if beat.lag is not None]
    return _card(
        stage.name,
        stage.does,
        _worst(beat.status for beat in counted) if alive else "down",
        "; ".join([*silence, *dict.fromkeys(beat.detail for beat in counted if beat.detail)]),
        instances=len(alive),
        rate=sum(beat.rate for beat in alive),
        lag=sum(lags) if lags else None,
        last_message_at=None if last is None else _ms(last),
        last_message_age_s=None if last is None else max((now - last).total_seconds(), 0),
        beat_age_s=beat_age,
    )


def _rebuild() -> Json:
    """The Celery tasks that remake dirty buckets. They have no heartbeat: what waits tells how they do."""
    waiting = Dirty.objects.count()
    failing = Dirty.objects.filter(tries__gt=3).count()
    detail = f"{failing} buckets were tried more than three times" if failing else ""
    return _card("rebuild", "dirty buckets → candles", "degraded" if failing else "ok", detail, lag=waiting)


def _audit() -> Json:
    """The audits of whole days, newest first; a day that differs, or could not be looked at, is told."""
    wrong = AuditRun.objects.filter(state__in=(AuditRun.State.DIFFERS, AuditRun.State.FAILED))
    told = [f"{run}, {run.differences} differences" for run in wrong[:_MOST_AUDITS]]
    newest = AuditRun.objects.filter(finished_at__isnull=False).order_by("-finished_at").first()
    detail = "; ".join(told) if newest else "no day has ended yet"
    last = _ms(newest.finished_at) if newest and newest.finished_at else None
    return _card("audit", "stored data ↔ trades, klines", "degraded" if told else "ok", detail, last_message_at=last)


def _web() -> Json:
    """This process: how far its own tail is behind the log."""
    log, places = open_log(), get_tail().view.places()
    lag = sum(max(log.end_offset(*place) - offset, 0) for place, offset in places.items())
    if not places:
        return _card("web", "tables and log → answers", "degraded", "the tail of the log has not started yet")
    return _card("web", "tables and log → answers", "ok", "", lag=lag)


def _card(name: str, does: str, status: str, detail: str, **more: Any) -> Json:
    unknown = dict.fromkeys(("rate", "lag", "last_message_at", "last_message_age_s", "beat_age_s"))
    return {"name": name, "does": does, "status": status, "detail": detail, "instances": 1, **unknown, **more}


def _worst(statuses: Iterable[str]) -> str:
    found = set(statuses)
    return next((status for status in _WORST_FIRST if status in found), "ok")


# --- the log ------------------------------------------------------------------------------------------


def _topics() -> list[Json]:
    log = open_log()
    stored, errors = sink_positions(), _sink_errors()
    places = (
        TopicPartition(topic.name, partition)
        for topic in topics.CATALOGUE
        for partition in range(log.partitions(topic.name))
    )
    return [_topic(log, place, stored, errors) for place in places]


def _topic(
    log: Log, place: TopicPartition, stored: dict[tuple[str, int], int], errors: dict[tuple[str, int], str]
) -> Json:
    positions = {group: log.position(group, *place) for group in _READERS.get(place.topic, ())}
    if place.topic in ROUTES:
        positions[topics.GROUP_SINK] = stored.get(place, 0)
    start, end = log.start_offset(*place), log.end_offset(*place)
    readers = [
        {"group": group, "position": position, "lag": max(end - max(position, start), 0)}
        for group, position in positions.items()
    ]
    return {
        "topic": place.topic,
        "partition": place.partition,
        "start": start,
        "end": end,
        "readers": readers,
        "error": errors.get(place, ""),
    }


def _sink_errors() -> dict[tuple[str, int], str]:
    rows = SinkPosition.objects.exclude(error="").order_by("pk").values_list("topic", "partition", "error")
    return {(topic, partition): error.splitlines()[-1][:200] for topic, partition, error in rows if error.strip()}


# --- feeds and gaps -----------------------------------------------------------------------------------


def _symbols() -> list[Json]:
    view = get_tail().view
    enabled = watched()
    now_ms = time.time_ns() // 1_000_000
    # Symbols of which only klines are kept have no feed of trades to tell of.
    traded = {name for name in view.symbols() if view.live(name) is not None or view.coverage(name).segments}
    return [_symbol(view, name, name in enabled, now_ms) for name in sorted({*enabled, *traded})]


def _symbol(view: LiveView, symbol: str, is_watched: bool, now_ms: int) -> Json:
    coverage = view.coverage(symbol)
    missing = missing_ids(coverage, *_ALL_TIME)
    return {
        "symbol": symbol,
        "watched": is_watched,
        "feed_time": view.feed_time(symbol),
        "stale_s": view.stale_s(symbol, now_ms),
        "complete": bool(coverage.segments) and missing == 0,
        "missing": missing,
        "holes": sum(hole.count for hole in coverage.holes),
        "gaps": len(coverage.gaps),
        "repaired": len(coverage.repaired) + coverage.forgotten,
        "covered_from": coverage.segments[-1].covered_from if coverage.segments else None,
    }


def _gaps() -> list[Json]:
    """Open gaps and unproved holes of every symbol, those opened last first."""
    view = get_tail().view
    found = [
        {"symbol": symbol, **gap_json(gap, state)}
        for symbol in view.symbols()
        for gap, state in touching(view.coverage(symbol), _ALL_TIME)
        if state != HOLE or not gap.proved
    ]
    return sorted(found, key=lambda gap: -gap["opened_at"])[:_MOST_GAPS]


def _ms(moment: dt.datetime) -> int:
    return int(moment.timestamp() * 1000)
