"""The rows of the fault matrix: what is done to whom, and what must come of it."""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from streamloom.faults import acts, acts_sink, acts_stores
from streamloom.faults.invariants import Finding
from streamloom.faults.stage import Stage

Act = Callable[[Stage, random.Random], Iterable[Finding] | None]


@dataclass(frozen=True, slots=True)
class Row:
    """``number`` as in the matrix; ``is_short``: part of ``make test``; ``spoils``: the next row needs a new stage.

    ``control``: a protection is switched off, and the harness must find the invariant that it ``guards`` broken.
    ``is_last``: nothing goes on after it, so all is compared before it.
    """

    number: int
    name: str
    fault: str
    expected: str
    act: Act
    is_short: bool = False
    spoils: bool = False
    control: bool = False
    guards: str = ""
    is_last: bool = False

    @property
    def label(self) -> str:
        """How it is asked for."""
        return f"c{self.number}" if self.control else str(self.number)


ROWS: Final = (
    Row(
        1,
        "ingest killed",
        "SIGKILL of ingest, 4 times, 1-4 s apart",
        "gaps open and are refilled by REST",
        acts.kill_ingest,
        is_short=True,
    ),
    Row(
        2,
        "socket cut, frozen, shut down",
        "cut at once, cuts each 2 s with 2 % dropped, 20 s frozen, serverShutdown",
        "overlap, or gap and refill",
        acts.disturb_streams,
    ),
    Row(
        3,
        "broker away",
        "Kafka stopped for 60 s, then frozen for 20 s",
        "ingest queues or gaps open; all goes on",
        acts_stores.broker_away,
    ),
    Row(
        4,
        "processor killed in its transaction",
        "SIGKILL before begin, while producing, before and after the offsets, inside and after the commit, in restore",
        "exact; the same slot goes on",
        acts.kill_processor_in_transaction,
        is_short=True,
    ),
    Row(
        5,
        "zombie processor",
        "SIGSTOP for 14 s (the session lasts 10), then SIGCONT",
        "the other slot takes over; the zombie's commit is refused",
        acts.freeze_processor,
    ),
    Row(
        6,
        "two processes, one slot",
        "a second process with slot 0 for 12 s",
        "the older one is fenced and ends; nothing twice",
        acts.double_slot,
    ),
    Row(
        7,
        "broker killed",
        "SIGKILL of Kafka while commits run, 3 times",
        "each transaction whole or not at all",
        acts_stores.kill_broker,
    ),
    Row(
        8,
        "rebalances",
        "a third slot comes and is killed, 3 times",
        "abort, rewind, restore; state and offset agree",
        acts.shuffle_slots,
    ),
    Row(
        9,
        "state that must not be used",
        "an unreadable state version; a changelog behind its offset; a changelog that lost records",
        "the processor refuses to run; put right, it goes on",
        acts_stores.spoil_state,
    ),
    Row(
        10,
        "dispatcher killed",
        "SIGKILL before and after a wake-up, and at random",
        "the wake-up is given again",
        acts_sink.kill_dispatcher,
    ),
    Row(
        11,
        "Redis emptied and killed",
        "FLUSHALL 3 times, SIGKILL without persistence",
        "delay only",
        acts_stores.lose_redis,
    ),
    Row(
        12, "Redis frozen", "SIGSTOP for 60 s", "publishing fails in 5 s, wake-ups come later", acts_stores.freeze_redis
    ),
    Row(
        13,
        "Celery child killed",
        "SIGKILL before and inside the insert, between insert and advance, after it, and at random",
        "the block is stored again, once for every reader",
        acts_sink.kill_children,
        is_short=True,
    ),
    Row(14, "Celery worker killed", "SIGKILL of parent and children, twice", "leases expire", acts_sink.kill_worker),
    Row(
        15,
        "the same task five times at once",
        "5 wake-ups of every partition, 8 times",
        "one works, the others return",
        acts_sink.wake_five_times,
    ),
    Row(
        16,
        "ClickHouse away, killed in an insert",
        "stopped for 60 s; SIGKILL 3 times",
        "retries with back-off",
        acts_stores.lose_clickhouse,
    ),
    Row(
        17,
        "insert done, answer lost",
        "a proxy cuts 6 inserts' answers",
        "inserted again, one row for every reader",
        acts_sink.lose_answers,
    ),
    Row(
        18,
        "Postgres killed",
        "immediate stop, away for 60 s; SIGKILL",
        "dispatcher and sink reconnect",
        acts_stores.lose_postgres,
    ),
    Row(
        19,
        "retention passes what is not stored",
        "the worker is away, and every trade that waits for it is deleted",
        "alarm; fetched again by repair",
        acts_stores.let_retention_pass,
        spoils=True,
    ),
    Row(
        20,
        "a topic deleted and made anew",
        "raw_trades, under a processor's state (all is compared before)",
        "the processor refuses, and says why",
        acts_stores.make_topic_anew,
        spoils=True,
        is_last=True,
    ),
    Row(
        21,
        "poison records",
        "5 records that nobody can read, and one of an unknown symbol",
        "dead letters in the same transaction",
        acts_stores.poison,
        is_short=True,
    ),
    Row(
        22,
        "REST in trouble",
        "5 % dropped, 13 ids that never were, while REST lags by 20 s, answers 429 and 418, and repair is killed",
        "no gap closed too early; holes are what never was, and only that",
        acts.trouble_rest,
    ),
    Row(
        23,
        "late trades",
        "200 ids kept back until their hour has closed",
        "revision rises, hours follow",
        acts.late_trades,
    ),
    Row(
        24,
        "rebuild killed",
        "SIGKILL after the candle is published, before its bucket is let go",
        "repeated, same result",
        acts_sink.kill_rebuild,
    ),
    Row(
        25, "Redis restarted under sockets", "SIGKILL of Redis", "subscribers notice nothing", acts_stores.restart_redis
    ),
    Row(
        26,
        "clients that never read",
        "20 sockets that subscribe and do not read",
        "memory flat, others unaffected",
        acts.deaf_clients,
    ),
    Row(27, "web ended", "SIGTERM", "1012, ended within 10 s, resumed without a gap", acts.end_web),
    Row(
        29,
        "clocks that are wrong",
        "worker an hour ahead, dispatcher an hour behind, processor an hour ahead",
        "no effect on what is stored",
        acts_sink.wrong_clocks,
    ),
    Row(
        30,
        "everything killed",
        "SIGKILL of all roles and servers, 10 rounds, back in random order",
        "exact",
        acts_stores.kill_everything,
    ),
)
