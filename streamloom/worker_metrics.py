"""Metrics of the Celery worker: each of its processes writes a file, and one small process serves their sum.

A process that takes the place of another goes on in its file: counters only rise, and the files stay few.
``python -m streamloom.worker_metrics HOST:PORT`` serves ``PROMETHEUS_MULTIPROC_DIR`` until its input ends.
"""

import os
import subprocess
import sys
from pathlib import Path

from billiard.process import current_process
from prometheus_client import CollectorRegistry, start_http_server, values
from prometheus_client.multiprocess import MultiProcessCollector

FOLDER = "PROMETHEUS_MULTIPROC_DIR"


def keep_by_place() -> None:
    """Let metrics be kept in files, where the environment names a folder. Before the first metric is made."""
    if FOLDER not in os.environ:
        return
    Path(os.environ[FOLDER]).mkdir(parents=True, exist_ok=True)
    values.ValueClass = values.MultiProcessValue(_place)


def _place() -> str:
    """Which of the pool's places this process has; its parent has none."""
    return f"place{getattr(current_process(), 'index', 'none')}"


def start_server(where: str) -> "subprocess.Popen[bytes] | None":
    """A process that serves the sum at ``host:port``; it ends with this one. None when there is nothing to serve."""
    if not where or FOLDER not in os.environ:
        return None
    # A process of its own: a thread in the worker's parent would be cut off by each fork.
    return subprocess.Popen([sys.executable, "-m", "streamloom.worker_metrics", where], stdin=subprocess.PIPE)


def main(where: str) -> None:
    """Serve until the standard input ends."""
    host, _, port = where.rpartition(":")
    registry = CollectorRegistry()
    MultiProcessCollector(registry)
    start_http_server(int(port), addr=host, registry=registry)
    sys.stdin.buffer.read()


if __name__ == "__main__":
    main(sys.argv[1])
