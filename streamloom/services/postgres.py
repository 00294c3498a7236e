"""Postgres: a cluster of its own, TCP only, with fsync on as in production."""

import os
import pwd
import shutil
import signal
import subprocess
from pathlib import Path

import psycopg

from streamloom.services.process import Command
from streamloom.services.server import HOST, MissingService, Server, ServiceFailed

_USER = "streamloom"
_GET = "on Debian: apt-get install postgresql"
_CONFIG = """
listen_addresses = '{host}'
port = {port}
unix_socket_directories = ''
fsync = on
synchronous_commit = on
full_page_writes = on
max_connections = 100
"""


class Postgres(Server):
    """A cluster with one role and one database, both ``streamloom``. Started by root it runs as ``postgres``."""

    name = "postgres"
    # The fast shutdown: clients are cut off, nothing needs recovery.
    stop_signal = signal.SIGINT

    def check(self) -> None:
        programs()
        user = _other_user()
        if user is not None:
            _refuse_unreachable(self.folder.parent, user)

    def prepare(self) -> None:
        data = self.folder / "data"
        if not data.exists():
            self._make_cluster(data)
        (data / "streamloom.conf").write_text(_CONFIG.format(host=HOST, port=self.port))

    def _make_cluster(self, data: Path) -> None:
        # Made aside and renamed: a kill half way leaves no half cluster behind.
        room, password = self.folder / "room", self.folder / "pwfile"
        shutil.rmtree(room, ignore_errors=True)
        room.mkdir()
        password.write_text(self.secret("password"))
        self._give_away(room, password)
        try:
            self._init(room / "fresh", password)
        finally:
            password.unlink()
        with (room / "fresh" / "postgresql.conf").open("a") as config:
            config.write("include 'streamloom.conf'\n")
        (room / "fresh").rename(data)
        room.rmdir()

    def _init(self, fresh: Path, password: Path) -> None:
        args = [programs() / "initdb", "-D", fresh, "-U", _USER, "-A", "scram-sha-256", f"--pwfile={password}"]
        args += ["-E", "UTF8", "--locale=C.UTF-8", "--data-checksums"]
        user = _other_user()
        told = subprocess.run(
            list(map(str, args)), cwd="/", capture_output=True, text=True, check=False, user=user, group=user
        )
        if told.returncode:
            raise ServiceFailed(f"postgres: initdb failed: {told.stdout}{told.stderr}")

    def _give_away(self, *paths: Path) -> None:
        user = _other_user()
        if user is None:
            return
        self.folder.parent.chmod(0o711)
        self.folder.chmod(0o711)
        for path in paths:
            shutil.chown(path, user, user)

    def command(self) -> Command:
        args = [str(programs() / "postgres"), "-D", str(self.folder / "data")]
        return Command(args, cwd=Path("/"), user=_other_user())

    def is_ready(self) -> bool:
        try:
            with psycopg.connect(self._url("postgres"), connect_timeout=2, autocommit=True) as asked:
                found = asked.execute("SELECT 1 FROM pg_database WHERE datname = %s", (_USER,)).fetchone()
                if found is None:
                    asked.execute(f"CREATE DATABASE {_USER}")
        except psycopg.Error:
            return False
        return True

    def environment(self) -> dict[str, str]:
        return {"DATABASE_URL": self._url(_USER)}

    def _url(self, database: str) -> str:
        return f"postgres://{_USER}:{self.secret('password')}@{HOST}:{self.port}/{database}"


def programs() -> Path:
    """The folder with initdb and postgres of the newest version; MissingService when there is none."""
    debian = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    versions = sorted(debian, key=lambda path: float(path.parts[-3]))
    if versions:
        return versions[-1].parent
    found = shutil.which("initdb")
    if found is None:
        raise MissingService("postgres", f"its programs are missing; {_GET}")
    return Path(found).resolve().parent


def _other_user() -> str | None:
    """Who must run it: Postgres refuses to be root."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError as error:
        raise MissingService("postgres", f"run by root, it needs the system user postgres; {_GET}") from error


def _refuse_unreachable(folder: Path, user: str) -> None:
    for parent in folder.parents:
        if parent.exists() and not parent.stat().st_mode & 0o001:
            raise MissingService(
                "postgres", f"the user {user} cannot enter {parent}; choose another folder, or: chmod o+x {parent}"
            )
