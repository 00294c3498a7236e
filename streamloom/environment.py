"""The one place that reads the environment. Every variable may also come from a file: ``NAME_FILE``.

All mistakes are collected and told at once, by the variable's name.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from environs import EnvError, FileAwareEnv, validate

_MODES = ("embedded", "services")


@dataclass(frozen=True, slots=True)
class Environment:
    """What the environment says, checked and typed."""

    mode: str
    data_dir: Path
    source: str
    partitions: int
    rest_url: str
    ws_url: str
    archive_url: str
    repair_confirm_s: tuple[float, ...]
    sink_max_delay_s: float
    sink_max_rows: int
    kafka_brokers: str
    clickhouse_url: str
    redis_url: str
    database: dict[str, Any] | None
    secret_key: str
    debug: bool
    allowed_hosts: list[str]
    log_format: str
    log_level: str


def read_environment(base_dir: Path) -> Environment:
    """The environment, or the end of the process with a list of everything that is wrong in it."""
    env = FileAwareEnv(strip_whitespace=True, eager=False)
    found = _read(env, base_dir)
    try:
        env.seal()
    except EnvError as error:
        problems = getattr(error, "error_messages", None) or {"environment": [str(error)]}
        lines = [f"  {name}: {' '.join(map(str, texts))}" for name, texts in problems.items()]
        sys.exit("Streamloom cannot start, because of these environment variables:\n" + "\n".join(lines))
    return Environment(**found)


def _read(env: FileAwareEnv, base_dir: Path) -> dict[str, Any]:
    mode = env.str("STREAMLOOM_MODE", "embedded", validate=validate.OneOf(_MODES))
    services = mode == "services"
    required = {} if services else {"default": ""}
    return {
        "mode": mode,
        "data_dir": Path(env.str("STREAMLOOM_DATA_DIR", str(base_dir / "var" / "binance")) or "var"),
        "source": env.str("STREAMLOOM_SOURCE", "binance", validate=validate.OneOf(("binance", "simulated"))),
        "partitions": env.int("STREAMLOOM_PARTITIONS", 4 if services else 1, validate=validate.Range(1, 1024)),
        "rest_url": env.str("BINANCE_REST_URL", "https://data-api.binance.vision"),
        "ws_url": env.str("BINANCE_WS_URL", "wss://data-stream.binance.vision"),
        "archive_url": env.str("BINANCE_ARCHIVE_URL", "https://data.binance.vision"),
        "repair_confirm_s": tuple(env.list("REPAIR_CONFIRM_S", [60.0, 600.0, 3600.0], subcast=float) or ()),
        "sink_max_delay_s": env.float("SINK_MAX_DELAY_S", 1.0, validate=validate.Range(0.01, 60)),
        "sink_max_rows": env.int("SINK_MAX_ROWS", 20_000, validate=validate.Range(1, 1_000_000)),
        "kafka_brokers": env.str("KAFKA_BROKERS", **required),
        "clickhouse_url": env.str("CLICKHOUSE_URL", **required),
        "redis_url": env.str("REDIS_URL", **required),
        "database": env.dj_db_url("DATABASE_URL") if services else None,
        "secret_key": env.str("SECRET_KEY", **required),
        "debug": env.bool("DEBUG", default=False),
        "allowed_hosts": env.list("ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]"]),
        "log_format": env.str("LOG_FORMAT", "json", validate=validate.OneOf(("json", "pretty"))),
        "log_level": env.str("LOG_LEVEL", "INFO", validate=validate.OneOf(("DEBUG", "INFO", "WARNING", "ERROR"))),
    }
