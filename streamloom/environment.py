"""The one place that reads the environment. Every variable may also come from a file: ``NAME_FILE``.

All mistakes are collected and told at once, by the variable's name.
"""

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from environs import EnvError, FileAwareEnv, ValidationError, validate

_MODES: Final = ("embedded", "services")
_PROTOCOLS: Final = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
_MECHANISMS: Final = ("SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN")
# Our variable, and what librdkafka calls it. Certificates and keys are PEM text; a path goes into NAME_FILE.
_SASL: Final = {"KAFKA_SASL_USERNAME": "sasl.username", "KAFKA_SASL_PASSWORD": "sasl.password"}
_TLS: Final = {
    "KAFKA_SSL_CA": "ssl.ca.pem",
    "KAFKA_SSL_CERTIFICATE": "ssl.certificate.pem",
    "KAFKA_SSL_KEY": "ssl.key.pem",
    "KAFKA_SSL_KEY_PASSWORD": "ssl.key.password",
}

# How many closed klines of each interval a newly watched symbol begins with: enough for every indicator's warm-up.
_KLINES_HISTORY: Final = "1s=1000,1m=1440,15m=1000,1h=1000,1d=1000"
_KLINES_ROWS: Final = re.compile(r"(1s|1m|15m|1h|1d)=([0-9]{1,9})")
_KLINES_MOST: Final = 1_000_000

Problems = dict[str, str]


@dataclass(frozen=True, slots=True)
class Environment:
    """What the environment says, checked and typed."""

    mode: str
    data_dir: Path
    source: str
    partitions: int
    slot: int
    rest_url: str
    ws_url: str
    archive_url: str
    repair_confirm_s: tuple[float, ...]
    klines_history: Mapping[str, int]
    sink_max_delay_s: float
    sink_max_rows: int
    kafka_brokers: str
    kafka_prefix: str
    kafka_security: Mapping[str, str]
    clickhouse_url: str
    redis_url: str
    database: dict[str, Any] | None
    secret_key: str
    debug: bool
    allowed_hosts: list[str]
    log_format: str
    log_level: str
    worker_metrics: str


def read_environment(base_dir: Path) -> Environment:
    """The environment, or the end of the process with a list of everything that is wrong in it."""
    env = FileAwareEnv(strip_whitespace=True, eager=False)
    security, problems = read_kafka_security(env)
    found = _read(env, base_dir)
    try:
        env.seal()
    except EnvError as error:
        told = getattr(error, "error_messages", None) or {"environment": [str(error)]}
        problems |= {name: " ".join(map(str, texts)) for name, texts in told.items()}
    if problems:
        lines = [f"  {name}: {problem}" for name, problem in problems.items()]
        sys.exit("Streamloom cannot start, because of these environment variables:\n" + "\n".join(lines))
    return Environment(kafka_security=security, **found)


def _read(env: FileAwareEnv, base_dir: Path) -> dict[str, Any]:
    mode = env.str("STREAMLOOM_MODE", "embedded", validate=validate.OneOf(_MODES))
    services = mode == "services"
    required = {} if services else {"default": ""}
    return {
        "mode": mode,
        "data_dir": Path(env.str("STREAMLOOM_DATA_DIR", str(base_dir / "var" / "binance")) or "var"),
        "source": env.str("STREAMLOOM_SOURCE", "binance", validate=validate.OneOf(("binance", "simulated"))),
        "partitions": env.int("STREAMLOOM_PARTITIONS", 4 if services else 1, validate=validate.Range(1, 1024)),
        "slot": env.int("STREAMLOOM_SLOT", 0, validate=validate.Range(0, 1023)),
        "rest_url": env.str("BINANCE_REST_URL", "https://data-api.binance.vision"),
        "ws_url": env.str("BINANCE_WS_URL", "wss://data-stream.binance.vision"),
        "archive_url": env.str("BINANCE_ARCHIVE_URL", "https://data.binance.vision"),
        "repair_confirm_s": tuple(env.list("REPAIR_CONFIRM_S", [60.0, 600.0, 3600.0], subcast=float) or ()),
        "klines_history": _rows(env.str("KLINES_HISTORY", _KLINES_HISTORY, validate=_klines_history)),
        "sink_max_delay_s": env.float("SINK_MAX_DELAY_S", 1.0, validate=validate.Range(0.01, 60)),
        "sink_max_rows": env.int("SINK_MAX_ROWS", 20_000, validate=validate.Range(1, 1_000_000)),
        "kafka_brokers": env.str("KAFKA_BROKERS", validate=_brokers, **required),
        "kafka_prefix": env.str("KAFKA_PREFIX", "", validate=validate.Regexp(r"[A-Za-z0-9._-]{0,100}\Z")),
        "clickhouse_url": env.str("CLICKHOUSE_URL", validate=_url("http", "https"), **required),
        "redis_url": env.str("REDIS_URL", validate=_url("redis", "rediss", "unix"), **required),
        "database": _database(env) if services else None,
        "secret_key": env.str("SECRET_KEY", **required),
        "debug": env.bool("DEBUG", default=False),
        "allowed_hosts": env.list("ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]"]),
        "worker_metrics": env.str("STREAMLOOM_WORKER_METRICS", "", validate=_address),
        "log_format": env.str("LOG_FORMAT", "json", validate=validate.OneOf(("json", "pretty"))),
        "log_level": env.str("LOG_LEVEL", "INFO", validate=validate.OneOf(("DEBUG", "INFO", "WARNING", "ERROR"))),
    }


def _database(env: FileAwareEnv) -> dict[str, Any] | None:
    # Leases, claims and locks are Postgres': another database would start, and be wrong.
    env.str("DATABASE_URL", "postgres:", validate=_url("postgres", "postgresql"))
    return env.dj_db_url("DATABASE_URL", conn_health_checks=True)


def _url(*schemes: str) -> Any:
    def check(text: str) -> None:
        if text and urlsplit(text).scheme not in schemes:
            # Not the text itself: it may hold a password.
            raise ValidationError(f"must begin with {' or '.join(f'{scheme}:' for scheme in schemes)}")

    return check


def _rows(text: str | None) -> dict[str, int]:
    """The number of rows by interval, of what is well formed."""
    return {interval: int(count) for interval, count in _KLINES_ROWS.findall(text or "")}


def _klines_history(text: str) -> None:
    parts = text.split(",") if text else []
    found = _rows(text)
    is_list = all(_KLINES_ROWS.fullmatch(part.strip()) for part in parts) and len(found) == len(parts)
    if not is_list or max(found.values(), default=0) > _KLINES_MOST:
        raise ValidationError(f"is a list such as {_KLINES_HISTORY}, each interval once, from 0 to {_KLINES_MOST}")


def _brokers(text: str) -> None:
    for broker in text.split(","):
        _address(broker.strip())


def _address(text: str) -> None:
    host, _, port = text.rpartition(":")
    if text and not (host and port.isdigit()):
        raise ValidationError(f"{text!r} is not host:port")


def read_kafka_security(env: FileAwareEnv) -> tuple[dict[str, str], Problems]:
    """librdkafka's settings for TLS and SASL, and what contradicts itself, by the variable's name."""
    protocol = env.str("KAFKA_SECURITY_PROTOCOL", "PLAINTEXT", validate=validate.OneOf(_PROTOCOLS)) or ""
    mechanism = env.str("KAFKA_SASL_MECHANISM", _MECHANISMS[0], validate=validate.OneOf(_MECHANISMS)) or ""
    sasl = {name: env.str(name, "") or "" for name in _SASL}
    tls = {name: env.str(name, "") or "" for name in _TLS}
    if protocol not in _PROTOCOLS:
        return {}, {}
    problems = _sasl_problems(protocol, sasl) | _tls_problems(protocol, tls)
    security = {"security.protocol": protocol}
    if protocol.startswith("SASL"):
        security["sasl.mechanism"] = mechanism
    for names, values in ((_SASL, sasl), (_TLS, tls)):
        security |= {names[name]: value for name, value in values.items() if value}
    return security, problems


def _sasl_problems(protocol: str, given: Mapping[str, str]) -> Problems:
    if protocol.startswith("SASL"):
        return {name: f"needed by KAFKA_SECURITY_PROTOCOL={protocol}." for name, value in given.items() if not value}
    return {name: f"not used by KAFKA_SECURITY_PROTOCOL={protocol}." for name, value in given.items() if value}


def _tls_problems(protocol: str, given: Mapping[str, str]) -> Problems:
    if not protocol.endswith("SSL"):
        return {name: f"not used by KAFKA_SECURITY_PROTOCOL={protocol}." for name, value in given.items() if value}
    pair = ("KAFKA_SSL_CERTIFICATE", "KAFKA_SSL_KEY")
    if any(given[name] for name in pair):
        other = dict(zip(pair, reversed(pair), strict=True))
        return {name: f"needed by {other[name]}." for name in pair if not given[name]}
    return {}
