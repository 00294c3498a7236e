import random
import threading
from pathlib import Path

import pytest

from ingestion.binance.feed import ConnectionState
from ingestion.ingest.loop import IngestConfig, IngestLoop, Snapshot
from ingestion.ingest.role import IngestRole
from ingestion.log.sqlite import SqliteLog
from ingestion.tests.ingest.fakes import FakeRest

OPEN = ConnectionState("0.1", 3, 3, (), 12.4, "open")


def make_role(folder: Path) -> IngestRole:
    config = IngestConfig("ws://127.0.0.1:9", "binance", tick_s=0.05)
    log = SqliteLog(folder / "log.db", partitions=1)
    return IngestRole(IngestLoop(config, log, FakeRest(), dict, random.Random(1)))


def test_a_role_that_is_told_to_stop_ends(tmp_path):
    role, stop = make_role(tmp_path), threading.Event()
    running = threading.Thread(target=role.run, args=(stop,))
    running.start()

    stop.set()
    running.join(timeout=5.0)

    assert not running.is_alive()


def test_a_step_returns_so_that_the_role_can_be_stopped(tmp_path):
    role = make_role(tmp_path)

    role.step()
    role.step()

    assert role.pulse().detail == "no symbol is enabled"
    role.drain()


@pytest.mark.parametrize(
    ("snapshot", "status", "detail"),
    [
        (Snapshot(connections=(OPEN,)), "ok", "0.1: open, 3/3 symbols, 12 s"),
        (
            Snapshot(connections=(ConnectionState("0.1", 3, 3, ("ABC",), 12.4, "open"),)),
            "degraded",
            "0.1: open, 3/3 symbols, 12 s, silent: ABC",
        ),
        (
            Snapshot(connections=(OPEN,), waiting=("ABC",)),
            "degraded",
            "0.1: open, 3/3 symbols, 12 s; waiting to start: ABC",
        ),
        (
            Snapshot(connections=(OPEN, ConnectionState("1", 2, 0, (), 0.0, "connecting"))),
            "degraded",
            "0.1: open, 3/3 symbols, 12 s; 1: connecting, 0/2 symbols, 0 s",
        ),
        (
            Snapshot(connections=(ConnectionState("0", 3, 0, (), 0.0, "connecting (HTTP 500)"),)),
            "down",
            "0: connecting (HTTP 500), 0/3 symbols, 0 s",
        ),
        (
            Snapshot(connections=(ConnectionState("0", 3, 0, (), 0.0, "connecting"),), refused_by_region="HTTP 451"),
            "down",
            "the exchange refuses this region (HTTP 451): set BINANCE_WS_URL",
        ),
    ],
)
def test_the_pulse_says_what_an_operator_needs(tmp_path, snapshot, status, detail):
    role = make_role(tmp_path)
    role._ingest.snapshot = snapshot

    pulse = role.pulse()

    assert (pulse.status, pulse.detail) == (status, detail)
