"""Every role as its own process whose pid is known; what ends is started again, unless it is held back."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from django.conf import settings

from streamloom.supervisor.plan import ProcessPlan

_PAUSE_S: Final = 0.5
_LOOK_S: Final = 0.05
_DRAIN_S: Final = 10.0


class Member:
    """One process that is kept running by a thread of ours."""

    def __init__(self, plan: ProcessPlan, environment: Mapping[str, str], log: Path) -> None:
        self.plan = plan
        self.log = log
        self.starts = 0
        self.last_status: int | None = None
        # What the next starts run with, see ``sabotage``; and what their environment has beyond everybody's.
        self.sabotage = ""
        self.extra: dict[str, str] = {}
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self._wanted = threading.Event()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=f"keep-{plan.name}", daemon=True)

    def start(self) -> None:
        """Run it, from now on again and again."""
        self._wanted.set()
        if not self._thread.is_alive():
            self._thread.start()

    def hold(self) -> None:
        """Once it has ended, leave it so."""
        self._wanted.clear()

    @property
    def pid(self) -> int | None:
        process = self._process
        return None if process is None or process.poll() is not None else process.pid

    def children(self) -> list[int]:
        """What it has forked."""
        pid = self.pid
        if pid is None:
            return []
        told = Path(f"/proc/{pid}/task/{pid}/children")
        try:
            return [int(word) for word in told.read_text().split()]
        except OSError:
            return []

    def send(self, number: signal.Signals, *, group: bool = False) -> None:
        """A signal for it, or for it and all that it has forked. Nothing when it has ended."""
        pid = self.pid
        if pid is None:
            return
        try:
            (os.killpg if group else os.kill)(pid, number)
        except ProcessLookupError:
            return

    def wait(self, timeout_s: float) -> int | None:
        """Its exit status, once it has ended."""
        process = self._process
        if process is None:
            return self.last_status
        try:
            return process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def end(self) -> None:
        """Ask it to end, then insist; never start it again."""
        self._over.set()
        self._wanted.set()
        self.send(signal.SIGCONT, group=True)
        self.send(signal.SIGTERM)

    def bury(self, deadline: float) -> None:
        """Wait for the end, or make it."""
        if self.wait(max(0.1, deadline - time.monotonic())) is None:
            self.send(signal.SIGKILL, group=True)
        if self._thread.is_alive():
            self._thread.join(5)

    def _keep(self) -> None:
        while not self._over.is_set():
            if not self._wanted.wait(0.2):
                continue
            if self._over.is_set():
                return
            self._run_once()
            self._over.wait(_PAUSE_S)

    def _run_once(self) -> None:
        args = _sabotaged(self.plan.args, self.sabotage) if self.sabotage else self.plan.args
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                _dies_with_us(args),
                cwd=settings.BASE_DIR,
                env={**self._environment, **self.plan.env, **self.extra},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.starts += 1
        self.last_status = self._process.wait()
        # What a killed parent forked must not go on beside its successor.
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return


class Crew:
    """The roles by name."""

    def __init__(self, plans: Sequence[ProcessPlan], environment: Mapping[str, str], logs: Path) -> None:
        logs.mkdir(parents=True, exist_ok=True)
        self._environment, self._logs = environment, logs
        self.members = {plan.name: self._member(plan) for plan in plans}

    def _member(self, plan: ProcessPlan) -> Member:
        return Member(plan, self._environment, self._logs / f"{plan.name}.log")

    def __getitem__(self, name: str) -> Member:
        return self.members[name]

    def add(self, plan: ProcessPlan) -> Member:
        """One more, not started yet."""
        member = self.members[plan.name] = self._member(plan)
        return member

    def start(self) -> None:
        """Start all of them."""
        for member in self.members.values():
            member.start()

    def end(self) -> None:
        """End all of them, by force what does not drain."""
        for member in self.members.values():
            member.end()
        deadline = time.monotonic() + _DRAIN_S
        for member in self.members.values():
            member.bury(deadline)


def run_once(plan: ProcessPlan, environment: Mapping[str, str], timeout_s: float = 90) -> str:
    """Run a command to its end; what it said. Raises RuntimeError when it failed."""
    done = subprocess.run(
        _dies_with_us(plan.args),
        cwd=settings.BASE_DIR,
        env={**environment, **plan.env},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{plan.name} failed: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def _sabotaged(args: Sequence[str], names: str) -> list[str]:
    """The same command in an interpreter where ``names`` are in force."""
    return [sys.executable, "-m", "streamloom.faults.sabotaged", names, *args[1:]]


def _dies_with_us(args: Sequence[str]) -> Sequence[str]:
    setpriv = shutil.which("setpriv") if sys.platform == "linux" else None
    return [setpriv, "--pdeathsig", "KILL", "--", *args] if setpriv else args
