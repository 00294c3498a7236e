"""What all processes of the Celery worker measure is served as one."""

import os
import subprocess
import sys
import time
from pathlib import Path

import httpx2
from django.conf import settings

from streamloom.demo.source import free_port

# As a process of the pool at some place: it counts, and may be killed at once after it.
COUNT = """
import os, sys
from billiard.process import current_process
from streamloom import worker_metrics
worker_metrics.keep_by_place()
from analytics.metrics import SINK_RECORDS
current_process().index = int(sys.argv[1])
SINK_RECORDS.labels("t").inc(int(sys.argv[2]))
os._exit(0)
"""


def count(folder: Path, place: int, records: int) -> None:
    env = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder)}
    subprocess.run(
        [sys.executable, "-c", COUNT, str(place), str(records)], cwd=settings.BASE_DIR, env=env, check=True, timeout=30
    )


def fetch(url: str) -> str:
    deadline = time.monotonic() + 20
    while True:
        try:
            return httpx2.get(url, timeout=5).text
        except httpx2.HTTPError:
            assert time.monotonic() < deadline, "nobody serves the metrics"
            time.sleep(0.1)


def test_the_sum_of_all_places_is_served_and_a_successor_goes_on_in_its_predecessors_file(tmp_path: Path) -> None:
    count(tmp_path, place=0, records=5)
    count(tmp_path, place=1, records=7)
    count(tmp_path, place=0, records=1)
    where = f"127.0.0.1:{free_port()}"

    server = subprocess.Popen(
        [sys.executable, "-m", "streamloom.worker_metrics", where],
        cwd=settings.BASE_DIR,
        env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)},
        stdin=subprocess.PIPE,
    )
    told = fetch(f"http://{where}/metrics")
    server.communicate()

    assert 'streamloom_sink_records_total{topic="t"} 13.0' in told
    assert sorted(path.name for path in tmp_path.glob("counter_place[0-9]*")) == [
        "counter_place0.db",
        "counter_place1.db",
    ]
    assert server.returncode == 0, "it did not end with its input"
