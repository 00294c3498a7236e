"""What every server here has in common: a folder, a port of its own, a start that waits, and an end."""

import os
import random
import secrets
import shutil
import signal
import socket
import time
from pathlib import Path
from typing import ClassVar

from streamloom.services.process import Command, OwnedProcess

BASE_DIR = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"
# Below the range that outgoing connections take theirs from: a client that keeps knocking while its server is
# away could otherwise be given the server's own port.
_PORTS = range(20_000, 32_000)
_LOOK_EVERY_S = 0.1
_LOG_TAIL = 2_000


class MissingService(Exception):
    """A server cannot run here. ``how``: what to do about it."""

    def __init__(self, name: str, how: str) -> None:
        super().__init__(f"{name}: {how}")
        self.name = name
        self.how = how


class ServiceFailed(Exception):
    """A server ended or did not answer in time; the message ends with the last lines of its log."""


class Server:
    """One server. Subclasses say how it is prepared, run and asked whether it is ready."""

    name: ClassVar[str]
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    start_s: ClassVar[float] = 60.0
    stop_s: ClassVar[float] = 20.0

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve() / self.name
        self.log = self.folder / "log"
        self._process = OwnedProcess(self.folder / "pid")

    def check(self) -> None:
        """Raise MissingService when something that it needs is not installed."""

    def prepare(self) -> None:
        """Make the data folder and the configuration. Safe to repeat, and after a kill half way."""

    def command(self) -> Command:
        """How to start it."""
        raise NotImplementedError

    def is_ready(self) -> bool:
        """Does it answer? Must return within a few seconds."""
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        """The variables by which others find it."""
        raise NotImplementedError

    @property
    def port(self) -> int:
        """The same port at every start: clients come back to it."""
        return self.number("port")

    @property
    def pid(self) -> int | None:
        """The pid while it runs."""
        return self._process.pid()

    def is_known(self) -> bool:
        """Has it ever been started in this folder?"""
        return (self.folder / "port").exists()

    def number(self, name: str) -> int:
        """A port that is chosen once and kept in the file ``name``."""
        path = self.folder / name
        if not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            path.write_text(str(_free_port()))
        return int(path.read_text())

    def secret(self, name: str) -> str:
        """A random word that is made once and kept in the file ``name``, readable by its owner only."""
        return keep_secret(self.folder / name)

    def start(self) -> None:
        """Start it and wait until it answers; nothing when it runs. Raises MissingService, ServiceFailed."""
        if self.pid is not None:
            return
        self.check()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._refuse_taken_port()
        self.prepare()
        self._process.spawn(self.command(), self.log)
        self._wait_until_ready()

    def _refuse_taken_port(self) -> None:
        # Clients would talk to whoever is there, and nobody would notice.
        if not is_free(self.port):
            raise ServiceFailed(f"{self.name}: another process listens on its port {self.port}; end that first")

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + self.start_s
        while not self.is_ready():
            if self.pid is None:
                raise ServiceFailed(f"{self.name} ended while it started. {self.last_words()}")
            if time.monotonic() > deadline:
                self._process.kill()
                raise ServiceFailed(f"{self.name} did not answer within {self.start_s:.0f} s. {self.last_words()}")
            time.sleep(_LOOK_EVERY_S)

    def last_words(self) -> str:
        """The end of its log."""
        if not self.log.exists():
            return ""
        return f"{self.log} ends:\n{self.log.read_text(errors='replace')[-_LOG_TAIL:]}"

    def stop(self) -> None:
        """End it in good order, or by force when that takes too long. Its data stays."""
        self.resume()
        self._process.signal(self.stop_signal)
        if not self._process.wait(self.stop_s):
            self._process.kill()

    def kill(self) -> None:
        """SIGKILL for it and its children; returns when they are gone."""
        self._process.kill()

    def pause(self) -> None:
        """Freeze it: connections stay open, and nothing answers."""
        self._process.signal(signal.SIGSTOP, children=True)

    def resume(self) -> None:
        """Let a frozen server go on."""
        self._process.signal(signal.SIGCONT, children=True)


def keep_secret(path: Path) -> str:
    """A random word that is made once and kept in ``path``, readable by its owner only."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(24))
    return path.read_text()


def require(service: str, program: str, package: str) -> str:
    """The path of a program, or MissingService with the package that has it."""
    found = shutil.which(program)
    if found is None:
        raise MissingService(service, f"{program} is missing; on Debian: apt-get install {package}")
    return found


def is_free(port: int) -> bool:
    """Can a server listen on this port of the loopback interface?"""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _free_port() -> int:
    # Chance is wanted: two folders that start at once must not try the same ports in the same order.
    for port in random.SystemRandom().sample(_PORTS, 200):
        if is_free(port):
            return port
    raise ServiceFailed(f"no free port between {_PORTS.start} and {_PORTS.stop}")
