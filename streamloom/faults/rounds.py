"""One row: do it, wait until quiet, judge everything."""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, TypeVar

import psycopg
import structlog
from clickhouse_connect.driver.exceptions import ClickHouseError
from confluent_kafka import KafkaException

from ingestion.log.port import LogError, TopicPartition
from markets.types import MINUTE_MS, Interval
from streamloom.faults import answers, oracle
from streamloom.faults.invariants import Finding, Kind, judge, judge_candles, judge_pages, judge_socket
from streamloom.faults.matrix import Row
from streamloom.faults.oracle import Json
from streamloom.faults.stage import NotReached, Stage, chance_of
from streamloom.services.native import ServiceFailed

T = TypeVar("T")
logger = structlog.get_logger(__name__)

# What is not back by then is lost, for the table.
RECOVERY_S: Final = 150.0
# Rebuilds and roll-ups follow the last trade by a moment.
_QUIET_S: Final = 45.0
# What a control breaks stays broken.
_CONTROL_S: Final = 20.0
# A store that has just come back may refuse the first question.
_AWAY: Final = (psycopg.Error, ClickHouseError, KafkaException, LogError, OSError)


@dataclass(frozen=True, slots=True)
class Result:
    """A row that really ran. ``recovery_s``: from the end of the fault until every trade sent by then was stored."""

    row: Row
    seed: int
    trades: int
    candles: int
    findings: tuple[Finding, ...]
    recovery_s: float | None
    took_s: float

    @property
    def is_bad(self) -> bool:
        """A row must find nothing; a control must find what its protection guards."""
        if not self.row.control:
            return bool(self.findings)
        return self.row.guards not in {finding.invariant for finding in self.findings}

    @property
    def verdict(self) -> str:
        """In one word."""
        return "BAD" if self.is_bad else "noticed" if self.row.control else "exact"

    def count(self, kind: Kind) -> int:
        """How many of that kind."""
        return sum(finding.count for finding in self.findings if finding.kind is kind)


def run_row(stage: Stage, row: Row, seed: int) -> Result:
    """Do what the row says to a running stage, and compare everything that came out since it was raised."""
    began = time.monotonic()
    own: list[Finding] = [] if row.is_last else _act(stage, row, seed)
    last_ids = stage.newest_due()
    recovery_s, problem = _recover(stage, last_ids, _CONTROL_S if row.control else RECOVERY_S)
    findings, trades, candles = _judge_until_clean(stage, last_ids, 0.0 if row.control else _QUIET_S)
    if problem and not findings:
        findings = [problem]
    if not candles:
        findings.append(Finding(Kind.WRONG, "candles are compared", 1, "there was none"))
    if row.is_last:
        own, recovery_s = _act(stage, row, seed), None
    return Result(row, seed, trades, candles, (*own, *findings), recovery_s, time.monotonic() - began)


def _act(stage: Stage, row: Row, seed: int) -> list[Finding]:
    """Do it; what the act itself found. Whatever it did to the exchange is over then."""
    try:
        return list(row.act(stage, chance_of(seed, row.number)) or ())
    except (NotReached, ServiceFailed, *_AWAY) as problem:
        return [Finding(Kind.WRONG, "the row could be done", 1, f"{type(problem).__name__}: {problem}")]
    finally:
        stage.exchange.behave()


def _recover(stage: Stage, last_ids: Mapping[str, int], within_s: float) -> tuple[float | None, Finding | None]:
    began = time.monotonic()
    try:
        stage.until(lambda: _patiently(lambda: _all_stored(stage, last_ids)), "all trades", within_s)
        recovery_s = time.monotonic() - began
        ends = stage.until(lambda: _patiently(stage.facts.ends), "the ends of the log", 60)
        stage.until(lambda: _patiently(lambda: _has_passed(stage, ends)), "the sink", 60)
    except NotReached as problem:
        return None, Finding(Kind.LOST, "it recovers", 1, str(problem))
    return recovery_s, None


def _patiently(ask: Callable[[], T]) -> T | None:
    try:
        return ask()
    except _AWAY as error:
        logger.debug("not_answered", error=str(error)[:200])
        return None


def _all_stored(stage: Stage, last_ids: Mapping[str, int]) -> bool:
    for symbol, last in last_ids.items():
        lowest, count = stage.facts.stored_below(symbol, last)
        never = sum(high - low + 1 for low, high in stage.books[symbol].holes if lowest <= low and high <= last)
        if count < last - lowest + 1 - never or not answers.is_settled(answers.coverage(stage, symbol)):
            return False
    return True


def _has_passed(stage: Stage, ends: Mapping[TopicPartition, int]) -> bool:
    places = stage.facts.places()
    return all(places.get(place, 0) >= end for place, end in ends.items() if end)


def _judge_until_clean(stage: Stage, last_ids: Mapping[str, int], within_s: float) -> tuple[list[Finding], int, int]:
    until = time.monotonic() + within_s
    while True:
        judged = _patiently(lambda: _judge(stage, last_ids))
        if judged is not None and (not judged[0] or time.monotonic() > until):
            return judged
        if time.monotonic() > until + _QUIET_S:
            return [Finding(Kind.WRONG, "the stores answer", 1, "they did not")], 0, 0
        stage.wait(1.0)


def _judge(stage: Stage, last_ids: Mapping[str, int]) -> tuple[list[Finding], int, int]:
    ends = stage.facts.ends()
    # Whoever is behind after this is told as such.
    with suppress(NotReached):
        stage.until(lambda: _has_passed(stage, ends), "the sink", 15)
    findings = judge(stage.facts.look(ends), last_ids, {symbol: book.holes for symbol, book in stage.books.items()})
    trades, minutes = 0, {}
    for symbol, last in last_ids.items():
        served, count, minutes[symbol] = _judge_served(stage, symbol, last)
        findings += served
        trades += count
    listener = stage.listener
    findings += judge_socket(listener.told(), minutes, listener.begun, listener.repeated)
    return findings, trades, sum(map(len, minutes.values()))


def _judge_served(stage: Stage, symbol: str, last: int) -> tuple[list[Finding], int, list[Json]]:
    """What REST serves of a symbol; how many trades were compared; the minutes as they must be."""
    held = answers.coverage(stage, symbol)
    if not held or not held["segments"]:
        return [Finding(Kind.WRONG, "REST answers", 1, f"/coverage of {symbol}")], 0, []
    truth = oracle.traded(stage.books[symbol], held["first_trade_id"], last)
    start, end = held["segments"][0]["from_time"], truth[-1].trade_time // MINUTE_MS * MINUTE_MS - MINUTE_MS
    rows = answers.trades(stage, symbol, truth[0].trade_id, last)
    findings = judge_pages(symbol, rows, truth, [oracle.listed(trade) for trade in truth])
    minutes: list[Json] = []
    for interval in (Interval.M1, Interval.H1):
        first = interval.open_of(start)
        first = first if first == start else interval.next_open(first)
        due = oracle.candles(truth, interval, first, interval.open_of(end))
        mine = answers.candles(stage, symbol, interval, first, interval.open_of(end)) if due else []
        absent = _absent(oracle.hole_spans(stage.books[symbol], last), interval)
        findings += judge_candles(symbol, interval.value, mine, due, absent)
        minutes = minutes or due
    return findings, len(truth), minutes


def _absent(spans: Sequence[tuple[int, int, int]], interval: Interval) -> dict[int, int]:
    """How many ids that never were may belong to each bucket: those next to whose ids a trade of it is."""
    counts: dict[int, int] = defaultdict(int)
    for count, start, end in spans:
        open_time = interval.open_of(start)
        while open_time <= end:
            counts[open_time] += count
            open_time = interval.next_open(open_time)
    return counts
