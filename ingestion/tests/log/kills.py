"""A process that works on a log until it is killed. Run as ``python -m ingestion.tests.log.kills``.

It prints a number after each append or commit: how many records are acknowledged so far.
"""

import importlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from ingestion.log.port import Log, Record, TopicPartition
from ingestion.log.topics import ENRICHED_TRADES, GROUP_PROCESS, RAW_TRADES

REPOSITORY = Path(__file__).resolve().parents[3]


class Child:
    """The running process. ``opener``: "module:function"; the function gets ``place`` and gives a Log."""

    def __init__(self, opener: str, place: str, task: str) -> None:
        command = [sys.executable, "-m", "ingestion.tests.log.kills", opener, place, task]
        self._process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)

    def kill_after(self, steps: int) -> int:
        """SIGKILL while it works, after so many acknowledgements; the last number it acknowledged."""
        assert self._process.stdout
        last = "0"
        for _ in range(steps):
            last = self._process.stdout.readline()
        self._process.kill()
        return self._last_line(last)

    def stop(self) -> None:
        """End it if it still runs."""
        self._process.kill()
        self._process.communicate()

    def wait_for_its_death(self) -> int:
        """The last number it acknowledged before it killed itself."""
        last = self._last_line("0")
        assert self._process.returncode == -signal.SIGKILL, "it did not reach the point"
        return last

    def finish(self) -> None:
        self._last_line("0")
        assert self._process.returncode == 0

    def _last_line(self, last: str) -> int:
        rest, _ = self._process.communicate(timeout=30)
        # A line that the kill cut off in the middle was never acknowledged.
        lines = [line for line in rest.splitlines(keepends=True) if line.endswith("\n")]
        return int(lines[-1] if lines else last)


def append(log: Log) -> None:
    """Append 0, 1, 2 …, three at a time, for ever."""
    at = log.end_offset(ENRICHED_TRADES.name, 0)
    while True:
        log.append(ENRICHED_TRADES.name, [Record("BTCUSDT", b"%d" % n) for n in range(at, at + 3)])
        at += 3
        _acknowledge(at)


def process(log: Log, *, until_empty: bool = False) -> None:
    """Copy raw to enriched; the state of a partition is how many were copied."""
    reader = log.reader(GROUP_PROCESS, [RAW_TRADES.name])
    while True:
        batch = reader.poll(3, 1.0)
        if not batch.records:
            if until_empty:
                return
            continue
        done = {TopicPartition(r.topic, r.partition): r.offset + 1 for r in batch.records}
        outputs = [(ENRICHED_TRADES.name, Record(r.key, r.value)) for r in batch.records]
        state = {place.partition: {"BTCUSDT": b"%d" % offset} for place, offset in done.items()}
        log.commit(reader, outputs, state, done)
        _acknowledge(max(done.values()))


def _acknowledge(number: int) -> None:
    os.write(1, b"%d\n" % number)


TASKS: dict[str, Callable[[Log], None]] = {
    "append": append,
    "process": process,
    "process-all": lambda log: process(log, until_empty=True),
}


def main(opener: str, place: str, task: str) -> None:
    module, function = opener.split(":")
    log = getattr(importlib.import_module(module), function)(place)
    TASKS[task](log)


if __name__ == "__main__":
    main(*sys.argv[1:])
