"""Redis (or Valkey): a wake-up and a cache. Nothing in it must survive, so nothing is written."""

import redis
from redis.exceptions import RedisError

from streamloom.services.process import Command
from streamloom.services.server import HOST, MissingService, Server, require

_CONFIG = """\
bind {host}
port {port}
dir {folder}
daemonize no
# Losing all of it costs seconds, by design: so the tests run without a net.
appendonly no
save ""
maxmemory 256mb
# A broker must refuse rather than forget.
maxmemory-policy noeviction
"""


class Redis(Server):
    """A Redis on the loopback interface, without persistence."""

    name = "redis"

    def check(self) -> None:
        _program()

    def prepare(self) -> None:
        (self.folder / "redis.conf").write_text(_CONFIG.format(host=HOST, port=self.port, folder=self.folder))

    def command(self) -> Command:
        return Command([_program(), str(self.folder / "redis.conf")], cwd=self.folder)

    def is_ready(self) -> bool:
        with redis.Redis(host=HOST, port=self.port, socket_timeout=2, socket_connect_timeout=2) as asked:
            try:
                return bool(asked.ping())
            except RedisError:
                return False

    def environment(self) -> dict[str, str]:
        return {"REDIS_URL": f"redis://{HOST}:{self.port}/0"}


def _program() -> str:
    try:
        return require("redis", "redis-server", "redis-server")
    except MissingService:
        return require("redis", "valkey-server", "redis-server")
