"""The loop of ``process_trades``: poll, apply the pure core, commit outputs, state and positions together."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import structlog

from ingestion.log import codec
from ingestion.log.port import Aborted, Log, Reader, Record, Stored, TopicPartition
from ingestion.log.topics import (
    CANDLES_1M,
    CANDLES_LIVE,
    COVERAGE,
    DEAD_LETTERS,
    ENRICHED_TRADES,
    GROUP_PROCESS,
    GROUP_SINK,
    PRICES,
    RAW_TRADES,
)
from ingestion.metrics import PROCESS_ABORTS, PROCESS_COMMIT_SECONDS, PROCESS_RECORDS, PROCESS_WAITS, VERDICT_SECONDS
from ingestion.pipeline.process import (
    Outputs,
    SymbolProcessor,
    SymbolState,
    condense,
    dump_state,
    load_state,
)
from ingestion.pipeline.records import DeadLetter, Reason
from ingestion.pipeline.verdict import VERDICTS
from ingestion.roles import Pulse, Role
from markets.types import Asset

logger = structlog.get_logger(__name__)

# A commit costs the same whatever it holds, so gather for a while, but never for longer than a reader notices.
COMMIT_EVERY_S = 0.1
COMMIT_MOST = 20_000
# Records are handled in slices: one slice of 20,000 costs a quarter more CPU than ten of 2,000.
SLICE = 2_000
# Live trades trickle in: waiting this long between commits makes one of several.
PACE_S = 0.03
POLL_S = 0.5
ASSETS_EVERY_S = 2.0


# Record(...) runs Python code for each one; this builds the same tuple at half the price.
_record = partial(tuple.__new__, Record)


@dataclass
class Pending:
    """What the next commit will hold."""

    outputs: list[tuple[str, Record]] = field(default_factory=list)
    touched: set[tuple[int, str]] = field(default_factory=set)
    positions: dict[TopicPartition, int] = field(default_factory=dict)
    records: int = 0
    # Of each verdict: when the oldest record came that was handled together with what brought it (log's clock).
    verdicts: list[int] = field(default_factory=list)


class ProcessTrades(Role):
    """Reads ``raw_trades``; writes everything that follows from it. Crash-only: an error leaves the last commit.

    ``assets`` gives the known symbols. ``sink_lag_most``: with more enriched trades than this unread by the
    sink, polling waits (embedded mode, where everything shares one machine); None never waits.
    """

    name = "process"

    def __init__(
        self,
        log: Log,
        assets: Callable[[], Mapping[str, Asset]],
        *,
        sink_lag_most: int | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._load_assets = assets
        self._sink_lag_most = sink_lag_most
        self._now = now
        self._stop = threading.Event()
        self._assets: Mapping[str, Asset] = {}
        self._unknown: dict[str, float] = {}
        self._states: dict[tuple[int, str], SymbolState] = {}
        self._processed = 0
        self._last_message_ms: int | None = None
        self._committed_at = float("-inf")
        self._reader: Reader | None = None

    def run(self, stop: threading.Event) -> None:
        """Step until ``stop``; whatever was polled is committed before it returns."""
        self._stop = stop
        super().run(stop)

    def step(self) -> None:
        """One commit: gather for up to 100 ms, apply, publish. Returns after half a second without records."""
        if self._reader is None:
            self._reader = self._log.reader(GROUP_PROCESS, [RAW_TRADES.name])
        if self._must_wait_for_sink():
            return
        pending = Pending()
        started = self._now()
        timeout_s = POLL_S
        while pending.records < COMMIT_MOST:
            batch = self._reader.poll(SLICE, timeout_s)
            if batch.assigned or batch.revoked:
                pending = Pending()  # what was gathered is void: it comes again, here or to somebody else
            self._take_partitions(batch.assigned, batch.revoked)
            self._apply(batch.records, pending)
            spent = self._now() - started
            if len(batch.records) < SLICE or spent >= COMMIT_EVERY_S:
                break
            timeout_s = 0.0
        if pending.records:
            self._commit(pending)

    def drain(self) -> None:
        """Give the partitions back; every step has committed what it polled."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        self._states.clear()

    def _must_wait_for_sink(self) -> bool:
        if self._sink_lag_most is None or self._sink_lag() <= self._sink_lag_most:
            return False
        PROCESS_WAITS.inc()
        self._stop.wait(0.1)
        return True

    def _sink_lag(self) -> int:
        topic = ENRICHED_TRADES.name
        return sum(
            self._log.end_offset(topic, part) - self._log.position(GROUP_SINK, topic, part)
            for part in range(self._log.partitions(topic))
        )

    def _take_partitions(
        self, assigned: Mapping[TopicPartition, Mapping[str, bytes]], revoked: frozenset[TopicPartition]
    ) -> None:
        gone = {place.partition for place in (*revoked, *assigned)}
        self._states = {key: state for key, state in self._states.items() if key[0] not in gone}
        for place, states in assigned.items():
            for symbol, data in states.items():
                self._states[place.partition, symbol] = load_state(data)

    def _apply(self, records: "list[Stored] | tuple[Stored, ...]", pending: Pending) -> None:
        """Run the core over the records, one symbol's outputs at a time, and note what is to be committed."""
        outputs: dict[tuple[int, str], tuple[SymbolProcessor, Outputs]] = {}
        for index, stored in enumerate(records):
            # Unpacked at once: an attribute of a named tuple costs as much as all of this.
            topic, partition, offset, _, _, value, _ = stored
            try:
                record = codec.raw(value)
            except codec.Unreadable as error:
                self._bury(stored, Reason.UNREADABLE_RECORD, str(error), pending)
                continue
            key = (partition, record.symbol)
            known = outputs.get(key)
            if known is None:
                processor = self._processor(key)
                if processor is None:
                    self._bury(stored, Reason.UNKNOWN_SYMBOL, record.symbol, pending)
                    continue
                known = outputs[key] = processor
            known[0].apply(index, record, value, f"{topic}/{partition}/{offset}")
        for stored in records[-1:]:
            self._last_message_ms = stored.timestamp
        # The last of each partition stands.
        passed = {(topic, partition): offset for topic, partition, offset, *_ in records}
        pending.positions.update({TopicPartition(*place): offset + 1 for place, offset in passed.items()})
        pending.records += len(records)
        for key, (processor, out) in outputs.items():
            pending.touched.add(key)
            self._publish(processor, out, records, pending)

    def _processor(self, key: tuple[int, str]) -> tuple[SymbolProcessor, Outputs] | None:
        symbol = key[1]
        asset = self._asset(symbol)
        if asset is None:
            return None
        state = self._states.get(key)
        if state is None:
            state = self._states[key] = SymbolState.new(symbol)
        out = Outputs()
        return SymbolProcessor(state, asset, out), out

    def _asset(self, symbol: str) -> Asset | None:
        """What the symbol trades. A new one is looked up at once: its first record may be its `want`."""
        asset = self._assets.get(symbol)
        if asset is None and self._now() - self._unknown.get(symbol, float("-inf")) > ASSETS_EVERY_S:
            self._assets = dict(self._load_assets())
            asset = self._assets.get(symbol)
            if asset is None:
                self._unknown[symbol] = self._now()
        return asset

    def _publish(
        self, processor: SymbolProcessor, out: Outputs, records: "list[Stored] | tuple[Stored, ...]", pending: Pending
    ) -> None:
        symbol, name, schema = processor.state.symbol, ENRICHED_TRADES.name, codec.SCHEMA
        encode, add = codec.encode_enriched, pending.outputs.append
        for index, enriched in out.enriched:
            add((name, _record((symbol, encode(enriched, records[index].value), schema))))
        for topic, items in (
            (COVERAGE, condense(out.coverage)),
            (PRICES["1m"], out.klines),
            (CANDLES_1M, out.candles),
            (DEAD_LETTERS, out.dead_letters),
            (CANDLES_LIVE, [processor.live()]),
        ):
            for item in items:
                add((topic.name, codec.to_record(item)))
        pending.verdicts += [records[0].timestamp for candle in out.candles if candle.state in VERDICTS]
        PROCESS_RECORDS.labels("enriched").inc(len(out.enriched))
        PROCESS_RECORDS.labels("candle").inc(len(out.candles))
        PROCESS_RECORDS.labels("duplicate").inc(out.duplicates)
        PROCESS_RECORDS.labels("dead").inc(len(out.dead_letters))

    def _bury(self, stored: Stored, reason: Reason, detail: str, pending: Pending) -> None:
        """A record that nobody can use goes to the dead letters in the commit that passes it."""
        origin = f"{stored.topic}/{stored.partition}/{stored.offset}"
        letter = DeadLetter(reason, detail[:300], origin, stored.value, stored.timestamp, stored.key)
        pending.outputs.append((DEAD_LETTERS.name, codec.to_record(letter)))
        PROCESS_RECORDS.labels("dead").inc()
        logger.warning("record_buried", reason=reason.value, origin=origin, detail=detail[:300])

    def _commit(self, pending: Pending) -> None:
        assert self._reader is not None
        pause = PACE_S - (self._now() - self._committed_at)
        if pause > 0 and pending.records < SLICE:
            self._stop.wait(pause)
        state: dict[int, dict[str, bytes | None]] = {}
        for partition, symbol in pending.touched:
            changed = state.setdefault(partition, {})
            changed[symbol] = dump_state(self._states[partition, symbol])
        try:
            with PROCESS_COMMIT_SECONDS.time():
                self._log.commit(self._reader, pending.outputs, state, pending.positions)
        except Aborted as error:
            # The next poll brings the states as committed last, and the same records again.
            PROCESS_ABORTS.inc()
            logger.warning("commit_aborted", error=str(error), records=pending.records)
            return
        self._committed_at = self._now()
        self._processed += pending.records
        now_ms = time.time_ns() // 1_000_000
        for came_ms in pending.verdicts:
            VERDICT_SECONDS.labels("stream").observe(max(now_ms - came_ms, 0) / 1_000)

    def pulse(self) -> Pulse:
        """Records handled so far and how many wait (a snapshot for the heartbeat)."""
        topic = RAW_TRADES.name
        lag = sum(
            self._log.end_offset(topic, part) - self._log.position(GROUP_PROCESS, topic, part)
            for part in range(self._log.partitions(topic))
        )
        return Pulse(
            processed=self._processed,
            lag=lag,
            last_message_ms=self._last_message_ms,
            status="ok",
            detail=f"{len(self._states)} symbols",
        )
