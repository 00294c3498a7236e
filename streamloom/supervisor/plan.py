"""Which processes make up Streamloom on one machine."""

import sys
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Final

_FIRST_METRICS_PORT: Final = 2112


class Kind(Enum):
    """What the end of a process means. ROLE: start it again; UNTIL_DONE: start it again unless it succeeded."""

    ROLE = "role"
    UNTIL_DONE = "until_done"


@dataclass(frozen=True, slots=True)
class ProcessPlan:
    """One process. ``env``: what it needs beyond ours."""

    name: str
    args: tuple[str, ...]
    env: dict[str, str] = field(default_factory=dict)
    kind: Kind = Kind.ROLE


def preparations() -> list[ProcessPlan]:
    """What must have run, in this order, before any role may start. Each may be run again."""
    return [
        _manage("migrate", "migrate", "--noinput", "--verbosity", "0"),
        _manage("create-topics", "create_topics"),
        _manage("clickhouse-migrate", "clickhouse_migrate"),
    ]


def roles(*, port: int, slots: int, workers: int, metrics: Path | None) -> list[ProcessPlan]:
    """The long-running processes, in the order in which they are started: readers before writers.

    ``slots``: processors; ``workers``: processes of the Celery worker; ``metrics``: serve them on 2112 and
    up, with this folder for those of the worker (None: do not).
    """
    ports = iter(range(_FIRST_METRICS_PORT, _FIRST_METRICS_PORT + 5 + slots)) if metrics else iter(())

    def role(name: str, command: str, slot: int = 0) -> ProcessPlan:
        args = ("--metrics-port", str(next(ports, 0)))
        return _manage(name, command, *args, env={"STREAMLOOM_SLOT": str(slot)})

    ingest = role("ingest", "ingest_trades")
    first = role("process-0", "process_trades")
    repair = role("repair", "repair_gaps")
    dispatch = role("dispatch", "dispatch_sink")
    tasks = worker(workers, metrics, next(ports, 0))
    klines = role("klines", "ingest_klines")
    others = [role(f"process-{slot}", "process_trades", slot) for slot in range(1, slots)]
    web = _manage("web", "serve", "--port", str(port))
    symbols = _manage("symbols", "sync_symbols", kind=Kind.UNTIL_DONE)
    return [web, symbols, tasks, beat(), dispatch, first, *others, repair, ingest, klines]


def worker(processes: int, metrics: Path | None, metrics_port: int) -> ProcessPlan:
    """The Celery worker: it forks, so nothing that cannot be forked may be open in it."""
    args = (
        "-m",
        "celery",
        "--quiet",
        "-A",
        "streamloom",
        "worker",
        "--pool",
        "prefork",
        "--concurrency",
        str(processes),
    )
    quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "INFO")
    env = {}
    if metrics is not None:
        env = {"PROMETHEUS_MULTIPROC_DIR": str(metrics), "STREAMLOOM_WORKER_METRICS": f"127.0.0.1:{metrics_port}"}
    return ProcessPlan("worker", (sys.executable, *args, *quiet), env)


def beat() -> ProcessPlan:
    """Celery's beat: only wake-ups, so a second one, or none for a while, does no harm."""
    args = ("-m", "celery", "--quiet", "-A", "streamloom", "beat", "--loglevel", "WARNING")
    return ProcessPlan("beat", (sys.executable, *args))


def _manage(name: str, *args: str, env: dict[str, str] | None = None, kind: Kind = Kind.ROLE) -> ProcessPlan:
    return ProcessPlan(name, (sys.executable, "manage.py", *args), env or {}, kind)
