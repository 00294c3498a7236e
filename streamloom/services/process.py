"""A server process that is known by its pid file: no other process is ever signalled."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_LOOK_EVERY_S = 0.05


@dataclass(frozen=True, slots=True)
class Command:
    """How a server is started. ``user``: whose process it becomes (None: ours); ``env``: its whole environment."""

    args: Sequence[str]
    cwd: Path
    env: dict[str, str] = field(default_factory=lambda: dict(os.environ))
    user: str | None = None


class OwnedProcess:
    """One process and its children. The pid file outlives us, so that a later command can end what this one began."""

    def __init__(self, pid_file: Path) -> None:
        self._pid_file = pid_file
        self._child: subprocess.Popen[bytes] | None = None

    def spawn(self, command: Command, log: Path) -> int:
        """Start it in a session of its own, writing to ``log``; the answer is its pid. OSError when it cannot start."""
        with log.open("ab") as output:
            self._child = subprocess.Popen(
                list(command.args),
                cwd=command.cwd,
                env=command.env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=command.user,
                group=command.user,
                extra_groups=None if command.user is None else [],
            )
        pid = self._child.pid
        self._pid_file.write_text(f"{pid} {_birth(pid)}")
        return pid

    def pid(self) -> int | None:
        """The pid while the very process that was started still runs. A reused number does not count."""
        if self._child is not None and self._child.poll() is not None:
            return None
        try:
            pid, birth = self._pid_file.read_text().split(maxsplit=1)
        except (FileNotFoundError, ValueError):
            return None
        return int(pid) if birth == _birth(int(pid)) else None

    def signal(self, number: signal.Signals, *, children: bool = False) -> None:
        """Send a signal to it, and to its children when asked; nothing when it has ended."""
        pid = self.pid()
        if pid is None:
            return
        for target in (pid, *(_children(pid) if children else ())):
            _send(target, number)

    def wait(self, timeout_s: float) -> bool:
        """True once it has ended, False when that took longer."""
        deadline = time.monotonic() + timeout_s
        while self.pid() is not None:
            if time.monotonic() > deadline:
                return False
            time.sleep(_LOOK_EVERY_S)
        self._pid_file.unlink(missing_ok=True)
        return True

    def kill(self) -> None:
        """SIGKILL for it and its children, and wait until all are gone: what they hold is free then."""
        pid = self.pid()
        if pid is None:
            return
        family = [(each, _birth(each)) for each in (pid, *_children(pid))]
        for each, _ in family:
            _send(each, signal.SIGKILL)
        self.wait(10)
        deadline = time.monotonic() + 10
        while any(birth == _birth(each) for each, birth in family) and time.monotonic() < deadline:
            time.sleep(_LOOK_EVERY_S)


def _send(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _birth(pid: int) -> str:
    """When a process began, in the machine's own terms; empty when it has ended (a zombie has)."""
    if Path("/proc/self/stat").exists():
        fields = _stat(pid)
        return fields[19] if fields and not _has_ended(pid, fields[0]) else ""
    told = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    state, _, started = told.stdout.strip().partition(" ")
    return "" if state.startswith("Z") else started.strip()


def _has_ended(pid: int, state: str) -> bool:
    """Nothing of it runs any more: only then are its ports and files free. The first thread may end before others."""
    try:
        return state in "ZX" and len(os.listdir(f"/proc/{pid}/task")) <= 1
    except FileNotFoundError:
        return True


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name, which may hold anything: state, parent, ..."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _children(pid: int) -> Iterator[int]:
    """Direct children (Postgres has one per connection, each in a session of its own); none without /proc."""
    for entry in Path("/proc").glob("[0-9]*"):
        fields = _stat(int(entry.name))
        if len(fields) > 1 and fields[1] == str(pid):
            yield int(entry.name)
