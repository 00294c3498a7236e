"""What can be broken on purpose: death at an aimed line, and protections switched off.

For processes that the harness starts (``sabotaged``); the product knows nothing of it.
"""

import importlib
import os
import signal
import threading
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Final, NamedTuple

# A death that comes once leaves this file behind; the next process lives.
MARK: Final = "FAULT_MARK"
# The server is at work on the call by then, and not done.
_INSIDE_S: Final = 0.002
# By then a processor is well under way.
_SETTLED_CALLS: Final = 20
# A sink that stores trades so much later than all else has minutes of the market to catch up with.
_LATE_S: Final = 3.0
_FORGOTTEN_MS: Final = 180_000


class Death(NamedTuple):
    """SIGKILL ``before``, ``inside`` (2 ms after its begin) or ``after`` the n-th call of a function.

    ``target``: ``module:function``, ``module:Class.method``, or ``producer:method`` for the transactional producer.
    """

    target: str
    when: str
    nth: int = 1

    @property
    def name(self) -> str:
        """As ``install`` takes it."""
        return f"die={self.target}:{self.when}:{self.nth}"


def install(name: str) -> None:
    """Put one sabotage in force."""
    if name.startswith("clock="):
        _move_clock(float(name.removeprefix("clock=")))
        return
    if not name.startswith("die="):
        PROTECTIONS[name]()
        return
    module, function, when, nth = name.removeprefix("die=").split(":")
    if module == "producer":
        _replace_producer(function, _Trap(when, int(nth)))
    else:
        _wrap(module, function, _Trap(when, int(nth)).around)


class _Trap:
    """Counts the calls and springs once."""

    def __init__(self, when: str, nth: int) -> None:
        self._when, self._left = when, nth

    def around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """The call with a death before, inside or after it."""

        @wraps(call)
        def doomed(*args: Any, **named: Any) -> Any:
            self._left -= 1
            is_now = self._left == 0
            if is_now and self._when == "before":
                die_once()
            if is_now and self._when == "inside":
                threading.Timer(_INSIDE_S, die_once).start()
            answer = call(*args, **named)
            if is_now and self._when == "after":
                die_once()
            return answer

        return doomed


def die_once() -> None:
    """SIGKILL for this process, unless another one has died of it already."""
    mark = os.environ.get(MARK)
    if mark:
        try:
            os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return
    os.kill(os.getpid(), signal.SIGKILL)


def has_struck(mark: Path) -> bool:
    """Whether a process has died of the sabotage with this mark."""
    return mark.exists()


def _wrap(module: str, path: str, around: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    owner: Any = importlib.import_module(module)
    *classes, name = path.split(".")
    for part in classes:
        owner = getattr(owner, part)
    setattr(owner, name, around(getattr(owner, name)))


def _replace_producer(method: str, trap: _Trap) -> None:
    from confluent_kafka import Producer

    from ingestion.log.kafka_clients import Clients

    # The library's class cannot be changed; one derived from it can.
    doomed = type("DoomedProducer", (Producer,), {method: trap.around(getattr(Producer, method))})

    def producer(self: Clients, settings: dict[str, Any]) -> Any:
        made = doomed if "transactional.id" in settings else Producer
        return made(dict(settings))

    Clients.producer = producer  # type: ignore[method-assign,assignment]


def _move_clock(seconds: float) -> None:
    """Whoever asks for the time of day in Python is told a wrong one."""
    import datetime as dt

    from django.utils import timezone

    real, real_ns, now = time.time, time.time_ns, timezone.now
    time.time = lambda: real() + seconds
    time.time_ns = lambda: real_ns() + int(seconds * 1e9)
    timezone.now = lambda: now() + dt.timedelta(seconds=seconds)


# --- protections -----------------------------------------------------------------------------------------


def _restore_without_mark() -> None:
    """A changelog is restored only as far as a committed reader sees now, and nobody compares it with the offset."""
    from ingestion.log import kafka_restore
    from ingestion.log.kafka_restore import Restored, _meta

    def stable_ends(clients: Any, places: Any) -> list[int]:
        asker = clients.consumer(clients.config.consumer("streamloom-marks"))
        try:
            return [asker.get_watermark_offsets(place, timeout=10)[1] for place in places]
        finally:
            asker.close()

    def unchecked(item: Any, committed: int, state: dict[str, bytes]) -> Restored:
        meta = _meta(item, state.pop(kafka_restore.META_KEY, None))
        return Restored(max(committed, 0) if meta is None or committed >= 0 else meta.next_offset, state)

    kafka_restore._high_watermarks = stable_ends  # noqa: SLF001
    kafka_restore.checked = unchecked


def _dangle() -> None:
    """Dies once with its transaction open, the records at the broker, no offset sent; nobody ends it for a minute."""
    from ingestion.log.kafka_config import KafkaConfig
    from ingestion.log.kafka_transaction import Transactions

    finish, settings, calls = Transactions._finish, KafkaConfig.transactional, []  # noqa: SLF001

    def transactional(self: KafkaConfig, group: str) -> dict[str, Any]:
        return {**settings(self, group), "transaction.timeout.ms": 60_000}

    def leave_open(self: Any, offsets: Any, member: Any) -> None:
        calls.append(1)
        if len(calls) > _SETTLED_CALLS:
            self._producer.flush(5)
            die_once()
        finish(self, offsets, member)

    KafkaConfig.transactional = transactional  # type: ignore[method-assign]
    Transactions._finish = leave_open  # type: ignore[method-assign]  # noqa: SLF001


def _split_transaction() -> None:
    """Outputs are committed first, state and offsets after them; the process dies in between, once."""
    from ingestion.log.kafka_transaction import Transactions

    run, calls = Transactions.run, []

    def twice(self: Any, messages: Any, offsets: Any, member: Any) -> None:
        listed = list(messages)
        state = [message for message in listed if message[0].endswith("_state")]
        run(self, [message for message in listed if not message[0].endswith("_state")], [], member)
        calls.append(1)
        if len(calls) > _SETTLED_CALLS:
            die_once()
        run(self, state, offsets, member)

    Transactions.run = twice  # type: ignore[method-assign]


def _advance_before_insert() -> None:
    """The sink's place moves before the rows are stored; the process dies in between, once."""
    from analytics.sink import load, positions
    from analytics.sink.marks import Marks

    insert = load._load_block  # noqa: SLF001

    def advance_first(log: Any, held: Any, max_rows: int) -> int:
        start = held.next_offset
        end = min(log.end_offset(held.topic, held.partition), start + max_rows)
        if end > start:
            positions.advance(held, end, Marks())
            if held.topic == "enriched_trades":
                die_once()
            held.next_offset = start
        return insert(log, held, max_rows)

    load._load_block = advance_first  # noqa: SLF001


def _no_dedup() -> None:
    """A trade that is held already is taken as new."""
    from ingestion.pipeline.holdings import Holdings, Verdict

    accept = Holdings.accept

    def take_all(self: Holdings, *args: Any) -> Any:
        verdict, events = accept(self, *args)
        return (Verdict.NEW if verdict is Verdict.DUPLICATE else verdict), events

    Holdings.accept = take_all  # type: ignore[method-assign]


def _no_lease() -> None:
    """Whoever comes may store a partition, and moves its place to wherever it thinks it is."""
    from django.db import transaction

    from analytics.models import SinkPosition
    from analytics.sink import positions

    def take(topic_id: str, topic: str, partition: int, start: int) -> SinkPosition:
        row, _ = SinkPosition.objects.get_or_create(
            topic_id=topic_id, partition=partition, defaults={"topic": topic, "next_offset": start}
        )
        return row

    def advance(held: SinkPosition, next_offset: int, marks: Any) -> None:
        # Some are slow: that is when two of them meet.
        time.sleep(0.7 if os.getpid() % 2 else 0.0)
        with transaction.atomic():
            SinkPosition.objects.filter(pk=held.pk).update(next_offset=next_offset)
            positions.mark_dirty(marks)
        held.next_offset = next_offset

    positions.take_lease, positions.advance = take, advance


def _no_roll_up_marks() -> None:
    """A changed minute does not ask for its hour to be made again once that is there."""
    from analytics.candles import rollup
    from analytics.clickhouse.client import client

    kept = (
        "SELECT toUnixTimestamp64Milli(open_time) FROM candles FINAL WHERE interval = {interval:String}"
        " AND symbol = {symbol:String}"
    )
    roll_up = rollup._roll_up  # noqa: SLF001

    def only_once(interval: Any, symbol: str, rows: Any) -> None:
        answer = client().query(kept, parameters={"interval": interval.value, "symbol": symbol})
        there = {open_time for (open_time,) in answer.result_rows}
        fresh = [row for row in rows if row.open_time not in there]
        if fresh:
            roll_up(interval, symbol, fresh)
        rollup.dirty.done(rows)

    rollup._roll_up = only_once  # noqa: SLF001


def _hasty_rebuild() -> None:
    """Trades are stored late, and a rebuild takes what is stored for all there is, and for newer than all before."""
    import msgspec

    from analytics.candles import judge, rebuild
    from analytics.sink import load, positions

    load_block, advance, judge_all = load._load_block, positions.advance, judge.judge  # noqa: SLF001

    def slowly(log: Any, held: Any, max_rows: int) -> int:
        if held.topic == "enriched_trades":
            time.sleep(_LATE_S)
        return load_block(log, held, max_rows)

    def advance_unbound(held: Any, next_offset: int, marks: Any) -> None:
        advance(held, next_offset, marks._replace(trades_to=None))

    def unaware(bucket: Any, *known: Any) -> Any:
        return judge_all(msgspec.structs.replace(bucket, version=None), *known)

    load._load_block, positions.advance = slowly, advance_unbound  # noqa: SLF001
    judge._misses_trades = lambda *_: False  # noqa: SLF001
    rebuild.judge = unaware


def _forget_closed() -> None:
    """The state of a processor does not say which minutes are closed: the newest are closed again after a start."""
    from ingestion.process import role

    load_state = role.load_state

    def with_open_minutes(data: bytes) -> Any:
        state = load_state(data)
        if state.minutes.closed_to is not None:
            state.minutes.closed_to -= _FORGOTTEN_MS
        return state

    role.load_state = with_open_minutes


def _untold_gaps() -> None:
    """Gaps are known to the processor and told to nobody."""
    from ingestion.pipeline.process import SymbolProcessor
    from ingestion.pipeline.records import CoverageKind

    tell = SymbolProcessor._tell  # noqa: SLF001

    def in_part(self: Any, events: Any) -> None:
        tell(self, [event for event in events if event.kind != CoverageKind.GAP_OPENED])

    SymbolProcessor._tell = in_part  # type: ignore[method-assign]  # noqa: SLF001


PROTECTIONS: Final[dict[str, Callable[[], None]]] = {
    "restore-without-mark": _restore_without_mark,
    "dangle": _dangle,
    "split-transaction": _split_transaction,
    "advance-before-insert": _advance_before_insert,
    "no-dedup": _no_dedup,
    "no-lease": _no_lease,
    "no-roll-up-marks": _no_roll_up_marks,
    "hasty-rebuild": _hasty_rebuild,
    "forget-closed": _forget_closed,
    "untold-gaps": _untold_gaps,
}
