"""Kafka, Postgres, Redis and the ClickHouse engine of one folder: start, end, kill, freeze.

The servers outlive the process that started them, so that a shell can use them; pid files say which they are.
A server that is started again has its old port and its old data.
"""

import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from streamloom.services.clickhouse import ClickHouse
from streamloom.services.kafka import Kafka
from streamloom.services.postgres import Postgres
from streamloom.services.redis import Redis
from streamloom.services.server import BASE_DIR, MissingService, Server, ServiceFailed, keep_secret

__all__ = ["NAMES", "MissingService", "NativeServices", "ServiceFailed", "exports", "running"]

_KINDS: Final = (Kafka, Postgres, Redis, ClickHouse)
NAMES: Final = tuple(kind.name for kind in _KINDS)


class NativeServices:
    """The servers whose data is in ``folder``. One user at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._servers: dict[str, Server] = {kind.name: kind(folder) for kind in _KINDS}

    def missing(self, *names: str) -> list[MissingService]:
        """What is not installed of the named servers (all when none is named), and how to get it."""
        found = []
        for name in names or NAMES:
            try:
                self._servers[name].check()
            except MissingService as problem:
                found.append(problem)
        return found

    def start(self, *names: str) -> None:
        """Start the named servers (all when none is named); what runs already is left alone.

        Raises MissingService before anything is started, ServiceFailed when one does not come up.
        """
        wanted = names or NAMES
        for problem in self.missing(*wanted):
            raise problem
        for name in wanted:
            self._servers[name].start()

    def environment(self) -> dict[str, str]:
        """The variables under which Streamloom uses the servers that were ever started here."""
        found = {"STREAMLOOM_MODE": "services", "SECRET_KEY": keep_secret(self.folder / "secret_key")}
        for server in self._servers.values():
            if server.is_known():
                found |= server.environment()
        return found

    def stop(self, *names: str) -> list[str]:
        """End the named servers (all when none is named), the newest first; the answer names those that ran."""
        ended = []
        for name in reversed(names or NAMES):
            if self._servers[name].pid is not None:
                self._servers[name].stop()
                ended.append(name)
        return ended

    def kill(self, name: str) -> None:
        """SIGKILL; returns when the process and its children are gone."""
        self._servers[name].kill()

    def pause(self, name: str) -> None:
        """Freeze it (SIGSTOP): connections stay open, and nothing answers."""
        self._servers[name].pause()

    def resume(self, name: str) -> None:
        """Let a frozen server go on."""
        self._servers[name].resume()

    def pid(self, name: str) -> int | None:
        """The pid of a server while it runs."""
        return self._servers[name].pid

    def port(self, name: str) -> int:
        """The port of a server, the same at every start."""
        return self._servers[name].port

    def log(self, name: str) -> Path:
        """The file with everything that a server has said."""
        return self._servers[name].log


@contextmanager
def running(folder: Path, *names: str) -> Iterator[NativeServices]:
    """The named servers (none when none is named: ``start`` them yourself) for as long as the block lasts.

    They end with this process too, even when it is killed.
    """
    services = NativeServices(folder)
    guard = _guard(folder)
    try:
        if names:
            services.start(*names)
        yield services
    finally:
        services.stop()
        guard.communicate()


def _guard(folder: Path) -> subprocess.Popen[bytes]:
    """A process that waits for the end of ours (its input ends then) and ends what is left."""
    down = [sys.executable, "-m", "streamloom.services", "down", "--folder", str(folder.resolve())]
    return subprocess.Popen(
        ["sh", "-c", f"cat; exec {shlex.join(down)}"],
        cwd=BASE_DIR,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def exports(environment: dict[str, str]) -> str:
    """The variables as lines for ``eval``."""
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in environment.items())
