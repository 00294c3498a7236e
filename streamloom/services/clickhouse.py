"""The ClickHouse engine behind ClickHouse's HTTP interface: the project's own development server.

No server package is needed. Where ``CLICKHOUSE_URL`` names a real server, that one is used and this one stays down.
"""

import importlib.util
import os
import sys
import urllib.error
import urllib.request

from streamloom.services.process import Command
from streamloom.services.server import BASE_DIR, HOST, MissingService, Server

# Neither the services of whoever starts it nor its own address may be taken for another server's.
_LEFT_OUT = ("CLICKHOUSE_URL", "CLICKHOUSE_URL_FILE", "DATABASE_URL", "KAFKA_BROKERS", "REDIS_URL")


class ClickHouse(Server):
    """``manage.py clickhouse_dev_server`` over one folder of data."""

    name = "clickhouse"

    def check(self) -> None:
        if importlib.util.find_spec("chdb") is None:
            raise MissingService(self.name, "its engine is missing: pip install -r requirements/embedded.txt")

    def command(self) -> Command:
        args = [sys.executable, "manage.py", "clickhouse_dev_server"]
        args += ["--path", str(self.folder / "data"), "--port", str(self.port)]
        env = {name: value for name, value in os.environ.items() if name not in _LEFT_OUT}
        env |= {"STREAMLOOM_MODE": "embedded", "STREAMLOOM_DATA_DIR": str(self.folder)}
        return Command(args, cwd=BASE_DIR, env=env)

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{HOST}:{self.port}/ping", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def environment(self) -> dict[str, str]:
        return {"CLICKHOUSE_URL": f"http://{HOST}:{self.port}/default"}
