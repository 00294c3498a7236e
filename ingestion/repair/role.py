"""The loop of ``repair_gaps``: follow ``coverage``, ask one page at a time, commit what it brought with the state."""

import time
from collections.abc import Callable, Iterable
from typing import Final, Protocol

import structlog

from ingestion.binance.backoff import Backoff
from ingestion.binance.errors import BadAnswer, BadRequest, ExchangeBusy, ExchangeError, RegionRefused
from ingestion.log import codec
from ingestion.log.port import Aborted, Batch, Log, Reader, Record, Stored, TopicPartition
from ingestion.log.room import processor_has_room
from ingestion.log.topics import COVERAGE, GROUP_REPAIR, RAW_TRADES
from ingestion.pipeline.records import Asked, Cause, Hole, Trade
from ingestion.repair import metrics
from ingestion.repair.page import Findings, take_page
from ingestion.repair.plan import next_due_s, next_question
from ingestion.repair.work import Missing, Policy, Suspect, SymbolWork, Target, dump, load
from ingestion.roles.role import Pulse, Role

logger = structlog.get_logger(__name__)

PAGE_ROWS: Final = 1_000
_EVENTS_A_STEP: Final = 2_000
_IDLE_S: Final = 1.0
_NO_ROOM_S: Final = 0.05
_REGION_S: Final = 60.0
_ANSWER_S: Final = 5.0


class Rest(Protocol):
    """What repair asks the exchange: a part of ``BinanceRest``. Blocking; raises ExchangeError."""

    def agg_trades(self, symbol: str, *, from_id: int, limit: int) -> list[Trade]: ...


class RepairGaps(Role):
    """Asks REST for missing ids. Holds nothing but what it commits, so it may die at any line.

    ``clock``: the machine's time in epoch seconds; it only says when to ask again.
    """

    name = "repair"

    def __init__(
        self,
        log: Log,
        rest: Rest,
        policy: Policy,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._log, self._rest, self._policy, self._clock = log, rest, policy, clock
        self._reader: Reader | None = None
        self._works: dict[tuple[int, str], SymbolWork] = {}
        self._turn = 0
        self._rest_until_s = 0.0
        self._away = Backoff(first_s=1.0, cap_s=60.0)
        self._failures = 0
        self._appended = 0
        self._last_message_ms: int | None = None
        self._snapshot = Pulse(0, None, None, "ok", "starting")

    def step(self) -> None:
        """Take what coverage says, ask at most one page, commit both. Waits up to a second for something to do."""
        if self._reader is None:
            self._reader = self._log.reader(GROUP_REPAIR, [COVERAGE.name])
        batch = self._reader.poll(_EVENTS_A_STEP, self._pause_s())
        self._take_partitions(batch)
        touched = self._take_events(batch.records)
        outputs = self._ask(touched)
        if batch.records or touched:
            self._commit(batch.records, touched, outputs)
        self._look()

    def drain(self) -> None:
        """Give the partitions back; every step has committed what it did."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        self._works.clear()

    def pulse(self) -> Pulse:
        """``processed``: trades appended; ``lag``: ids still missing."""
        return self._snapshot

    def _pause_s(self) -> float:
        now_s = self._clock()
        due_s = next_due_s(self._works.values())
        if due_s is None:
            return _IDLE_S
        wait_s = max(due_s, self._rest_until_s) - now_s
        if wait_s > 0:
            return min(wait_s, _IDLE_S)
        question = next_question(self._works.values(), now_s)
        return 0.0 if question and processor_has_room(self._log, question[0].symbol) else _NO_ROOM_S

    def _take_partitions(self, batch: Batch) -> None:
        gone = {place.partition for place in (*batch.revoked, *batch.assigned)}
        self._works = {key: work for key, work in self._works.items() if key[0] not in gone}
        for place, states in batch.assigned.items():
            for symbol, data in states.items():
                self._works[place.partition, symbol] = load(data, self._clock(), self._policy)

    def _take_events(self, records: Iterable[Stored]) -> set[tuple[int, str]]:
        touched: set[tuple[int, str]] = set()
        now_s = self._clock()
        for stored in records:
            self._last_message_ms = stored.timestamp
            try:
                event = codec.coverage(stored.value)
                key = (stored.partition, event.symbol)
                work = self._works.get(key) or SymbolWork(event.symbol)
                if work.take_event(event, now_s, self._policy):
                    self._works[key] = work
                    touched.add(key)
            except ValueError as error:
                logger.error(
                    "coverage_record_unreadable",
                    offset=stored.offset,
                    error=str(error),
                    hint="written by another version? compare its fields with CoverageEvent",
                )
        return touched

    # --- asking -----------------------------------------------------------------------------------

    def _ask(self, touched: set[tuple[int, str]]) -> list[tuple[str, Record]]:
        """Ask one page for the target whose turn it is; the records to append."""
        now_s = self._clock()
        question = None if now_s < self._rest_until_s else next_question(self._works.values(), now_s)
        if question is None:
            return []
        work, target = question
        if not processor_has_room(self._log, work.symbol):
            metrics.WAITS.inc()
            return []
        rows = self._rows(work, target)
        if rows is None:
            return []
        touched.add((self._log.partition_of(COVERAGE.name, work.symbol), work.symbol))
        found = take_page(work, target, rows, self._clock(), self._policy)
        self._tell(work, target, found)
        return self._records(work, found)

    def _rows(self, work: SymbolWork, target: Target) -> list[Trade] | None:
        """The page, ascending by id; None when there was no answer (then it is asked again later)."""
        self._turn += 1
        target.served = self._turn
        try:
            rows = self._rest.agg_trades(work.symbol, from_id=target.ask_from, limit=PAGE_ROWS)
        except ExchangeError as error:
            self._take_error(work, target, error)
            return None
        self._failures = 0
        metrics.QUESTIONS.labels("rows" if rows else "nothing").inc()
        return sorted(rows, key=lambda row: row.trade_id)

    def _take_error(self, work: SymbolWork, target: Target, error: ExchangeError) -> None:
        """Decide who waits: this gap alone, or every question."""
        now_s = self._clock()
        if isinstance(error, ExchangeBusy):
            self._rest_until_s = now_s + error.retry_after_s
            outcome, hint = "busy", "the exchange's rate limit; repair goes on by itself"
        elif isinstance(error, BadRequest | BadAnswer):
            work.postpone(target, now_s, self._policy)
            outcome, hint = "bad", "the gap stays open and is asked for again; is the symbol still listed?"
        elif isinstance(error, RegionRefused):
            self._rest_until_s = now_s + _REGION_S
            outcome, hint = "refused", "set BINANCE_REST_URL to an address that serves your region"
        else:
            self._failures += 1
            self._rest_until_s = now_s + self._away.delay_s(self._failures, self._policy.rng)
            outcome, hint = "away", "gaps stay open until BINANCE_REST_URL answers"
        metrics.QUESTIONS.labels(outcome).inc()
        wait_s = round(max(self._rest_until_s, target.due_s) - now_s, 1)
        logger.warning("repair_waits", symbol=work.symbol, error=str(error), wait_s=wait_s, hint=hint)

    def _tell(self, work: SymbolWork, target: Target, found: Findings) -> None:
        metrics.TRADES.inc(len(found.trades))
        for from_id, to_id in found.holes:
            metrics.HOLES.inc(to_id - from_id + 1)
            logger.warning("hole_declared", symbol=work.symbol, from_id=from_id, to_id=to_id)
        for from_id, to_id in found.beyond:
            logger.warning(
                "gap_beyond_rest",
                symbol=work.symbol,
                from_id=from_id,
                to_id=to_id,
                hint="the exchange's REST does not reach back this far: fill it from the archive (backfill)",
            )
        if found.trades:
            logger.info("gap_filled", symbol=work.symbol, cause=target.cause, trades=len(found.trades),
                        from_id=found.trades[0].trade_id, to_id=found.trades[-1].trade_id)  # fmt: skip

    def _records(self, work: SymbolWork, found: Findings) -> list[tuple[str, Record]]:
        holes = [Hole(work.symbol, *hole, Cause.NOT_SERVED, work.clock) for hole in found.holes]
        asked = [Asked(work.symbol, *ids, work.clock) for ids in found.asked]
        self._appended += len(found.trades)
        return [(RAW_TRADES.name, codec.to_record(item)) for item in (*found.trades, *holes, *asked)]

    def _commit(
        self, records: Iterable[Stored], touched: Iterable[tuple[int, str]], outputs: list[tuple[str, Record]]
    ) -> None:
        assert self._reader is not None
        state: dict[int, dict[str, bytes | None]] = {}
        for partition, symbol in touched:
            state.setdefault(partition, {})[symbol] = dump(self._works[partition, symbol])
        positions = {TopicPartition(stored.topic, stored.partition): stored.offset + 1 for stored in records}
        try:
            self._log.commit(self._reader, outputs, state, positions)
        except Aborted as error:
            # The next poll brings the state as committed last; the same page is asked for again.
            logger.warning("commit_aborted", error=str(error), outputs=len(outputs))

    def _look(self) -> None:
        """Refresh gauges and the pulse."""
        missing = suspects = beyond = 0
        for work in self._works.values():
            beyond += _ids(run for run in work.missing if run.beyond)
            missing += _ids(run for run in work.missing if not run.beyond)
            suspects += _ids(work.suspects)
        metrics.MISSING_IDS.set(missing)
        metrics.SUSPECT_IDS.set(suspects)
        metrics.BEYOND_IDS.set(beyond)
        self._snapshot = Pulse(
            processed=self._appended,
            lag=missing,
            last_message_ms=self._last_message_ms,
            status="degraded" if self._failures else "ok",
            detail=f"{missing} ids missing, {suspects} doubted, {beyond} beyond REST",
        )


def _ids(runs: Iterable[Missing | Suspect]) -> int:
    return sum(run.to_id - run.from_id + 1 for run in runs)


def build_role() -> RepairGaps:
    """The role as the settings describe it."""
    from django.conf import settings

    from ingestion.binance.rest import BinanceRest
    from ingestion.log import open_log

    # A part of the weight is left to the short questions of the others, and a dead server must not hold up a stop.
    rest = BinanceRest(settings.BINANCE_REST_URL, timeout_s=_ANSWER_S, weight_share=0.7)
    return RepairGaps(open_log(), rest, Policy(confirm_s=tuple(settings.REPAIR_CONFIRM_S)))
