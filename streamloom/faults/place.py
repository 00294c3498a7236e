"""A fresh installation on the servers of one run: its own topics, database and tables."""

import itertools
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import clickhouse_connect
import psycopg
import redis

from streamloom.services.native import NativeServices

PARTITIONS: Final = 2
_numbers = itertools.count(1)

# Every move of the sink's place leaves a row: a place that goes back is seen even when it comes forward again.
_WATCH_STEPS: Final = """
CREATE TABLE fault_steps (id bigserial, topic text, partition int, was bigint, becomes bigint);
CREATE FUNCTION fault_step() RETURNS trigger AS $$ BEGIN
  INSERT INTO fault_steps (topic, partition, was, becomes)
  VALUES (NEW.topic, NEW.partition, CASE WHEN TG_OP = 'INSERT' THEN NULL ELSE OLD.next_offset END, NEW.next_offset);
  RETURN NEW;
END $$ LANGUAGE plpgsql;
CREATE TRIGGER fault_step_insert AFTER INSERT ON analytics_sinkposition FOR EACH ROW EXECUTE FUNCTION fault_step();
CREATE TRIGGER fault_step_update AFTER UPDATE ON analytics_sinkposition FOR EACH ROW
  WHEN (OLD.next_offset <> NEW.next_offset) EXECUTE FUNCTION fault_step();
"""


class Place:
    """Names and addresses of one installation; the environment of its processes."""

    def __init__(self, services: NativeServices) -> None:
        self.services = services
        self.name = f"f{next(_numbers)}"
        given = services.environment()
        self.brokers = given["KAFKA_BROKERS"]
        self.prefix = f"{self.name}.{time.time_ns() // 1_000_000 % 10**8}."
        self.redis_url = given["REDIS_URL"]
        self._admin_url = given["DATABASE_URL"]
        self.database_url = _with_path(given["DATABASE_URL"], self.name)
        self.clickhouse_url = _with_path(given["CLICKHOUSE_URL"], self.name)
        self._secret = given["SECRET_KEY"]

    def make(self) -> None:
        """Empty stores."""
        with psycopg.connect(self._admin_url, autocommit=True) as asked:
            asked.execute(f"DROP DATABASE IF EXISTS {self.name} WITH (FORCE)")
            asked.execute(f"CREATE DATABASE {self.name}")
        asked_tables = clickhouse_connect.get_client(dsn=_with_path(self.clickhouse_url, "default"))
        asked_tables.command(f"DROP DATABASE IF EXISTS {self.name}")
        asked_tables.command(f"CREATE DATABASE {self.name}")
        asked_tables.close()
        with redis.Redis.from_url(self.redis_url) as asked_queue:
            asked_queue.flushall()

    def watch_exactly(self, symbols: Iterable[str]) -> None:
        """What the admin would do, before any role looks; and the watch over the sink's places."""
        with psycopg.connect(self.database_url, autocommit=True) as asked:
            for what in ("trades_enabled", "klines_enabled"):
                asked.execute(f"UPDATE markets_symbol SET {what} = symbol = ANY(%s)", (list(symbols),))
            asked.execute(_WATCH_STEPS)

    def environment(self, rest_url: str, ws_url: str, folder: Path) -> dict[str, str]:
        """What each process is started with."""
        return {
            **os.environ,
            "STREAMLOOM_MODE": "services",
            "STREAMLOOM_DATA_DIR": str(folder),
            "STREAMLOOM_PARTITIONS": str(PARTITIONS),
            "SECRET_KEY": self._secret,
            "KAFKA_BROKERS": self.brokers,
            "KAFKA_PREFIX": self.prefix,
            "DATABASE_URL": self.database_url,
            "CLICKHOUSE_URL": self.clickhouse_url,
            "REDIS_URL": self.redis_url,
            "BINANCE_REST_URL": rest_url,
            "BINANCE_WS_URL": ws_url,
            "REPAIR_CONFIRM_S": "0.5,0.5,0.5",
            "SINK_MAX_DELAY_S": "0.5",
            "LOG_FORMAT": "json",
            "LOG_LEVEL": "INFO",
        }


def _with_path(url: str, path: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{path}"))
