"""A few rows of the fault matrix on real servers; ``make faults`` runs all of them."""

import os
import time
from pathlib import Path

import pytest

from streamloom.faults import report
from streamloom.faults.matrix import ROWS
from streamloom.faults.run import run_matrix
from streamloom.services.native import NativeServices

pytestmark = [pytest.mark.services, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.mark.usefixtures("kafka", "postgres", "redis", "clickhouse_server")
def test_whoever_is_killed_nothing_is_lost_doubled_or_wrong(services: NativeServices, tmp_path: Path) -> None:
    seed = int(os.environ.get("FAULT_SEED", time.time_ns() // 1_000_000_000 % 1_000_000))
    print(f"FAULT_SEED={seed}")  # noqa: T201 - pytest shows it with a failure
    rows = [row for row in ROWS if row.is_short]

    results = list(run_matrix(services, tmp_path, rows, seed, is_short=True))

    assert [report.line(result) for result in results if result.is_bad] == []
    assert all(result.trades and result.candles for result in results)
