"""A small world to repair in: an exchange that lags and skips, and a processor that keeps the account."""

import random
from dataclasses import dataclass, field

import msgspec

from ingestion.log import codec
from ingestion.log.port import Batch, Log, Record, TopicPartition
from ingestion.log.topics import COVERAGE, GROUP_PROCESS, RAW_TRADES
from ingestion.pipeline.holdings import Holdings
from ingestion.pipeline.records import Asked, Hole, Trade, Want
from ingestion.repair.role import RepairGaps
from ingestion.repair.work import Policy

SYMBOL = "BTCUSDT"
START_S = 1_700_000_000.0
RAW_0 = TopicPartition(RAW_TRADES.name, 0)
POLICY = Policy(confirm_s=(60.0, 600.0, 3600.0), rng=random.Random(1))


def make_trade(trade_id: int, symbol: str = SYMBOL) -> Trade:
    """Trades come ten a second."""
    return Trade(symbol, trade_id, 10**8, 10**8, trade_id, trade_id, trade_id * 100, False, "rest", 0)


class Killed(BaseException):
    """Stands for SIGKILL: nobody may catch it and go on."""


@dataclass
class Exchange:
    """REST as the exchange serves it: ``never`` served ids, ids served only from a time on, and a reach.

    ``newest``: REST's own end, which may lag behind the stream.
    """

    newest: int
    never: set[int] = field(default_factory=set)
    from_s: dict[int, float] = field(default_factory=dict)
    oldest: int = 0
    now_s: float = START_S
    asked: list[int] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)

    def agg_trades(self, symbol: str, *, from_id: int, limit: int) -> list[Trade]:
        self.asked.append(from_id)
        if self.errors:
            raise self.errors.pop(0)
        rows: list[Trade] = []
        trade_id = max(from_id, self.oldest)
        while len(rows) < limit and trade_id <= self.newest:
            if trade_id not in self.never and self.now_s >= self.from_s.get(trade_id, 0):
                rows.append(make_trade(trade_id, symbol))
            trade_id += 1
        return rows

    def clock(self) -> float:
        return self.now_s


class Processor:
    """The account of one symbol, kept with the real rules; its state lives in the log as the real one's does."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._reader = log.reader(GROUP_PROCESS, [RAW_TRADES.name])
        self.holdings = Holdings(SYMBOL)

    def step(self, most: int = 5_000) -> None:
        batch = self._reader.poll(most, 0)
        for state in batch.assigned.values():
            if SYMBOL in state:
                self.holdings = msgspec.msgpack.decode(state[SYMBOL], type=Holdings)
        events = [event for stored in batch.records for event in self._apply(codec.raw(stored.value))]
        if batch.records:
            outputs = [(COVERAGE.name, codec.to_record(event)) for event in events]
            state = {0: {SYMBOL: msgspec.msgpack.encode(self.holdings)}}
            self._log.commit(self._reader, outputs, state, {RAW_0: batch.records[-1].offset + 1})

    def _apply(self, record: object) -> list:
        if isinstance(record, Trade):
            time = record.trade_time
            return self.holdings.accept(record.trade_id, time, record.last_id, time)[1]
        if isinstance(record, Want):
            return self.holdings.want(record.from_id, record.covered_from, record.cause, record.event_time)
        if isinstance(record, Asked):
            return self.holdings.asked(record.from_id, record.to_id, record.outcome, record.event_time)
        assert isinstance(record, Hole)
        return self.holdings.declare_hole(record.from_id, record.to_id, record.cause, record.event_time)

    def gaps(self) -> list[tuple[int, int]]:
        return [(gap.from_id, gap.to_id) for segment in self.holdings.segments for gap in segment.gaps]

    def holes(self) -> list[tuple[int, int]]:
        return [(hole.from_id, hole.to_id) for segment in self.holdings.segments for hole in segment.holes]


class NeverWaiting:
    """The log for tests with a clock of their own: polls do not wait, and commits may die on request."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self.die_before_commit = self.die_after_commit = False

    def __getattr__(self, name: str) -> object:
        return getattr(self._log, name)

    def reader(self, group: str, topics: list[str]) -> "_QuickReader":
        return _QuickReader(self._log.reader(group, topics))

    def commit(self, reader: "_QuickReader", *what: object) -> None:
        if self.die_before_commit:
            raise Killed
        self._log.commit(reader.inner, *what)
        if self.die_after_commit:
            raise Killed


class _QuickReader:
    def __init__(self, inner: object) -> None:
        self.inner = inner
        self.group = inner.group

    def poll(self, max_records: int, timeout_s: float) -> Batch:
        return self.inner.poll(max_records, 0)

    def close(self) -> None:
        self.inner.close()


class World:
    """Everything together. ``settle`` lets time pass until repair has nothing left to ask."""

    def __init__(self, log: Log, exchange: Exchange, policy: Policy = POLICY) -> None:
        self.log, self.exchange, self.policy = log, exchange, policy
        self.quick = NeverWaiting(log)
        self.processor = Processor(log)
        self.role = RepairGaps(self.quick, exchange, policy, clock=exchange.clock)

    def stream(self, *ids: int) -> None:
        """Trades that come by the stream."""
        self.log.append(RAW_TRADES.name, [codec.to_record(make_trade(i)) for i in ids])
        self.processor.step()

    def want(self, from_id: int, cause: str = "start") -> None:
        record: Record = codec.to_record(Want(SYMBOL, from_id, 0, cause, 0))
        self.log.append(RAW_TRADES.name, [record])
        self.processor.step()

    def kill_repair(self) -> None:
        """Forget everything that repair has not committed."""
        self.role.drain()
        self.quick = NeverWaiting(self.log)
        self.role = RepairGaps(self.quick, self.exchange, self.policy, clock=self.exchange.clock)

    def step(self, seconds: float = 0.0) -> None:
        self.exchange.now_s += seconds
        self.role.step()
        self.processor.step()

    def settle(self, seconds: float = 20_000.0, most_steps: int = 5_000) -> None:
        """Steps; when nothing is due, time jumps to what is due next, for up to ``seconds``."""
        end_s = self.exchange.now_s + seconds
        for _ in range(most_steps):
            self.step()
            works = self.role._works.values()
            due = [target.due_s for work in works for target in work.targets()]
            if not due and not self.processor.gaps():
                return
            now_s = self.exchange.now_s
            wake_s = max(min(due, default=now_s + 1), self.role._rest_until_s)
            if wake_s > end_s:
                self.exchange.now_s = end_s
                return
            self.exchange.now_s = max(now_s, wake_s)
        raise AssertionError("repair does not come to rest")
